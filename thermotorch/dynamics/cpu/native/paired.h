// x J in three quarters of the time, for processors that add beside their multiply-adds.
//
//     x_0 w_0 + x_1 w_1 = (x_0 + w_1) (x_1 + w_0) - x_0 x_1 - w_0 w_1
//
// (Winograd, IEEE Trans. Comput. C-17, 693, 1968) replaces one of two multiply-adds by two additions; what it subtracts
// are a sum over the state alone and one over the couplings alone. Of three rows of J two form such a pair and one is
// multiplied as it is: then there are as many additions as multiply-adds.
//
// Rounding is that of a plain product when x and J are of one size (Higham, Accuracy and Stability of Numerical
// Algorithms, section 23.2): both are scaled by powers of two, a sample by itself. Pairs are added and subtracted in
// turns, with their couplings negated in the second case, lest the x_0 x_1 add up: neighbouring pixels are alike.
//
// An output is the same to the bit whatever the batch, and for samples in rows and in lanes (lanes.h); it is zero when
// the state or all couplings are.
#pragma once

#include "couplings.h"
#include "crew.h"

// Zen has units of their own for additions. Compilers that do not know its later versions call them the third.
#if defined(__AVX512F__) && (defined(__znver3__) || defined(__znver4__) || defined(__znver5__))
constexpr bool ADDS_BESIDE_MULTIPLIES = true;
#else
constexpr bool ADDS_BESIDE_MULTIPLIES = false;
#endif

namespace paired {

constexpr int64_t GROUP = 3;  // rows of J: a pair, and one by itself

static inline bool subtracted(int64_t row) { return row / GROUP % 2; }

// COUNT sums of one operand, in the lanes, times numbers of the other.
template <int COUNT>
struct Sums {
    Floats pairs[COUNT] = {}, singles[COUNT] = {};

    // `rows` rows of `lanes`, `pitch` apart, times scalar(i, row).
    template <class Scalar>
    void add(const float* lanes, int64_t pitch, int64_t rows, Scalar&& scalar) {
        int64_t k = 0;
        const auto group = [&](auto negated) {
            const Floats first = load(lanes), second = load(lanes + pitch), third = load(lanes + 2 * pitch);
            for (int i = 0; i < COUNT; ++i) {
                const Floats a = all(scalar(i, k)) + second, b = all(scalar(i, k + 1)) + first;
                pairs[i] = negated.value ? fma(-a, b, pairs[i]) : fma(a, b, pairs[i]);
            }
            for (int i = 0; i < COUNT; ++i) singles[i] = fma(all(scalar(i, k + 2)), third, singles[i]);
            k += GROUP;
            lanes += GROUP * pitch;
        };
        while (k + 2 * GROUP <= rows) {
            group(std::false_type());
            group(std::true_type());
        }
        if (k + GROUP <= rows) group(std::false_type());
        for (; k < rows; ++k, lanes += pitch)
            for (int i = 0; i < COUNT; ++i) singles[i] = fma(all(scalar(i, k)), load(lanes), singles[i]);
    }

    // Without what the pairs hold of the state alone and of the couplings alone.
    Floats product(int i, Floats of_state, Floats of_couplings) const {
        return singles[i] + (pairs[i] - of_state - of_couplings);
    }
};

// The scale of a state, of which `largest` is the largest absolute value: then it is in [2, 4).
template <class Number>
static inline Number scale(Number largest) {
    return power_of_two_over(largest, 1);
}

// The scale of couplings: then their root mean square is in [1, 2).
static inline float scale(const Block* blocks, int64_t count) {
    double squares = 0, numbers = 0;
    for (const Block* b = blocks; b < blocks + count; ++b) {
        const bool upright = b->row_stride < b->column_stride;
        const int64_t lines = upright ? b->columns : b->rows, length = upright ? b->rows : b->columns;
        for (int64_t line = 0; line < lines; ++line) {
            const float* from = b->data + line * (upright ? b->column_stride : b->row_stride);
            squares += sum_of_squares(from, upright ? b->row_stride : b->column_stride, length);
        }
        numbers += double(lines) * double(length);
    }
    return power_of_two_over(numbers > 0 ? float(std::sqrt(squares / numbers)) : 0.0f, 0);
}

// Scaled couplings, and of each column the sum over its pairs. The pairing of rows depends on where the rows of a
// column begin, so that the columns of a vector have them in common in every packing.
class Packed {
  public:
    Packed(const Shape& shape, const Block* blocks, int64_t count, bool transposed, int64_t lanes, int64_t most)
        : couplings_(shape, blocks, count, transposed, lanes, most, LANES / lanes),
          scale_(paired::scale(blocks, count)), values_(couplings_.pack()), of_columns_(shape.stride) {
        for (size_t at = 0; at < values_.size(); ++at) values_.data()[at] *= scale_;
        for (const Panel& panel : panels()) {
            const int64_t width = panel.vectors * lanes;
            float* sum = of_columns_.data() + panel.vector * lanes;
            for (const Range& range : panel.ranges) {
                float* w = values_.data() + range.offset;
                for (int64_t k = 0; k + GROUP <= range.end - range.begin; k += GROUP, w += GROUP * width) {
                    const float sign = subtracted(k) ? -1.0f : 1.0f;
                    for (int64_t c = 0; c < width; ++c) {
                        sum[c] = std::fmaf(sign * w[width + c], w[c], sum[c]);
                        w[c] *= sign;
                        w[width + c] *= sign;
                    }
                }
            }
        }
    }

    const std::vector<Panel>& panels() const { return couplings_.panels(); }
    const std::vector<std::vector<Range>>& kinds() const { return couplings_.kinds(); }
    const float* rows(const Range& range) const { return values_.data() + range.offset; }
    const float* of_columns() const { return of_columns_.data(); }
    float scale() const { return scale_; }

  private:
    Couplings couplings_;
    float scale_;
    Buffer values_, of_columns_;
};

// The map x -> x J, or x -> x J^T, [rows, stride] each.
class Product {
  public:
    Product(const Shape& shape, const Block* blocks, int64_t count, bool transposed)
        : shape_(shape), couplings_(shape, blocks, count, transposed, LANES, 1) {}

    void operator()(const float* x, int64_t rows, float* out) const {
        const int64_t kinds = couplings_.kinds().size();
        thread_local std::vector<float> scaled, unscale, of_rows;
        scaled.resize(rows * shape_.stride);
        unscale.resize(rows);
        of_rows.resize(kinds * rows);
        for (int64_t r = 0; r < rows; ++r) {
            const float factor = paired::scale(largest(x + r * shape_.stride, shape_.stride));
            unscale[r] = 1.0f / (factor * couplings_.scale());
            for (int64_t i = 0; i < shape_.stride; i += LANES)
                store(scaled.data() + r * shape_.stride + i, load(x + r * shape_.stride + i) * factor);
        }
        for_tiles(rows, [&](auto height, int64_t r) {
            for (int64_t kind = 0; kind < kinds; ++kind)
                pairs_of_rows<height.value>(couplings_.kinds()[kind], scaled.data() + r * shape_.stride,
                                            of_rows.data() + kind * rows + r);
        });
        const float *from = scaled.data(), *pairs = of_rows.data(), *factors = unscale.data();
        with_help(couplings_.panels().size(), [&](int64_t p) {
            const Panel& panel = couplings_.panels()[p];
            for_tiles(rows, [&](auto height, int64_t r) {
                tile<height.value>(panel, from + r * shape_.stride, pairs + panel.kind * rows + r, factors + r,
                                   out + r * shape_.stride + panel.vector * LANES);
            });
        });
    }

  private:
    template <int ROWS>
    void pairs_of_rows(const std::vector<Range>& ranges, const float* x, float* out) const {
        float sum[ROWS] = {};
        for (const Range& range : ranges)
            for (int64_t k = range.begin; k + GROUP <= range.end; k += GROUP)
                for (int r = 0; r < ROWS; ++r) {
                    const float first = x[r * shape_.stride + k], second = x[r * shape_.stride + k + 1];
                    sum[r] = std::fmaf(subtracted(k - range.begin) ? -first : first, second, sum[r]);
                }
        for (int r = 0; r < ROWS; ++r) out[r] = sum[r];
    }

    // One vector wide: a number of x that serves one vector is read by the instruction that uses it, one that serves two
    // is first copied into all lanes of a register, which takes a turn of the units that multiply and add.
    template <int ROWS>
    void tile(const Panel& panel, const float* x, const float* of_rows, const float* unscale, float* out) const {
        Sums<ROWS> sums;
        const int64_t stride = shape_.stride;
        for (const Range& range : panel.ranges)
            sums.add(couplings_.rows(range), LANES, range.end - range.begin,
                     [x = x + range.begin, stride](int r, int64_t k) { return x[r * stride + k]; });
        const Floats of_columns = load(couplings_.of_columns() + panel.vector * LANES);
        for (int r = 0; r < ROWS; ++r)
            store(out + r * stride, sums.product(r, all(of_rows[r]), of_columns) * unscale[r]);
    }

    Shape shape_;
    Packed couplings_;
};

}  // namespace paired
