// Products of states with couplings: out = x J for the blocks of J, and the gradient x^T a.
//
// J is packed once per call in panels of up to TILE_VECTORS vectors of columns, or of a few columns where samples are
// in the lanes (lanes.h); a panel holds those rows of J that some block fills. Every output is one sum in increasing
// order of rows, whatever the tile, the batch or the number of threads.
#pragma once

#include <algorithm>
#include <type_traits>
#include <vector>

#include "vector.h"

struct Block {
    float* data;  // element (i, j) of the block at data[i * row_stride + j * column_stride]
    int64_t row, column, rows, columns, row_stride, column_stride;
};

struct Range {
    int64_t begin, end, offset;  // rows of J, and where they start in the packed data
};

struct Panel {
    int64_t vector, vectors;  // columns, in vectors of so many lanes
    std::vector<Range> ranges;
};

class Couplings {
  public:
    Couplings(const Shape& shape, const Block* blocks, int64_t count, bool transposed, int64_t lanes = LANES,
              int64_t most = TILE_VECTORS)
        : lanes_(lanes) {
        for (int64_t i = 0; i < count; ++i) {
            Block b = blocks[i];
            if (transposed) {
                std::swap(b.row, b.column);
                std::swap(b.rows, b.columns);
                std::swap(b.row_stride, b.column_stride);
            }
            if (b.rows && b.columns) blocks_.push_back(b);
        }
        int64_t size = 0;
        const int64_t vectors = (shape.units + lanes - 1) / lanes;
        int64_t panels = (vectors + most - 1) / most;
        for (int64_t vector = 0; vector < vectors; --panels) {
            const int64_t width = (vectors - vector + panels - 1) / panels;
            Panel panel{vector, width, ranges(vector * lanes, (vector + width) * lanes)};
            for (Range& range : panel.ranges) {
                range.offset = size;
                size += (range.end - range.begin) * width * lanes;
            }
            panels_.push_back(panel);
            vector += width;
        }
        size_ = size;
    }

    bool empty() const { return blocks_.empty(); }
    size_t size() const { return size_; }
    const std::vector<Panel>& panels() const { return panels_; }

    Buffer pack() const {
        Buffer packed(size_);
        for_elements([&](float& here, int64_t at) { packed.data()[at] = here; });
        return packed;
    }

    // Adds packed values, times a factor, to the blocks.
    void add_to_blocks(const Buffer& packed, float factor) const {
        for_elements([&](float& here, int64_t at) { here += factor * packed.data()[at]; });
    }

  private:
    static constexpr int64_t ROWS_AT_ONCE = 16;  // a transposed block is read along its rows, a cache line at a time

    std::vector<Range> ranges(int64_t first, int64_t last) const {
        std::vector<Range> found;
        for (const Block& b : blocks_)
            if (b.column < last && first < b.column + b.columns) found.push_back({b.row, b.row + b.rows, 0});
        std::sort(found.begin(), found.end(), [](const Range& a, const Range& b) { return a.begin < b.begin; });
        std::vector<Range> merged;
        for (const Range& range : found) {
            if (!merged.empty() && range.begin <= merged.back().end)
                merged.back().end = std::max(merged.back().end, range.end);
            else
                merged.push_back(range);
        }
        return merged;
    }

    template <class Body>
    void for_elements(Body&& body) const {
        for (const Panel& panel : panels_) {
            const int64_t first = panel.vector * lanes_, width = panel.vectors * lanes_;
            for (const Block& b : blocks_) {
                const int64_t from = std::max(first, b.column), to = std::min(first + width, b.column + b.columns);
                if (from >= to) continue;
                for (const Range& range : panel.ranges) {
                    if (b.row < range.begin || b.row >= range.end) continue;
                    const int64_t at = range.offset + (b.row - range.begin) * width - first;
                    auto element = [&](int64_t i, int64_t j, int64_t across) {
                        body(b.data[i * b.row_stride + (j - b.column) * across], at + i * width + j);
                    };
                    for (int64_t begin = 0; begin < b.rows; begin += ROWS_AT_ONCE) {
                        const int64_t end = std::min(begin + ROWS_AT_ONCE, b.rows);
                        if (b.column_stride == 1) {
                            for (int64_t i = begin; i < end; ++i)
                                for (int64_t j = from; j < to; ++j) element(i, j, 1);
                        } else {
                            for (int64_t j = from; j < to; ++j)
                                for (int64_t i = begin; i < end; ++i) element(i, j, b.column_stride);
                        }
                    }
                }
            }
        }
    }

    int64_t lanes_;
    std::vector<Block> blocks_;
    std::vector<Panel> panels_;
    size_t size_;
};

// How a product reads its operands; sums are float32 always. Bfloat16 halves the time where the processor multiplies it,
// and is the same as float32 where it does not.
struct Float32 {
    static constexpr int64_t ROWS_OF_J = 1;  // to one row of the packed data
    typedef float State;

    static void pack(float* to, const float* row, const float*, int64_t width) { std::memcpy(to, row, 4 * width); }

    static Floats multiply(const float* x, Floats w, Floats sum) { return fma(all(*x), w, sum); }
};

#if defined(__AVX512BF16__)
struct Bfloat16 {
    static constexpr int64_t ROWS_OF_J = 2;
    typedef uint16_t State;

    // Two rows of J side by side: lane c holds the pair (row[c], next[c]).
    static void pack(float* to, const float* row, const float* next, int64_t width) {
        for (int64_t c = 0; c < width; ++c) {
            const uint32_t pair = round(row[c]) | uint32_t(next ? round(next[c]) : 0) << 16;
            std::memcpy(to + c, &pair, 4);
        }
    }

    static Floats multiply(const uint16_t* x, Floats w, Floats sum) {
        uint32_t pair;
        std::memcpy(&pair, x, 4);
        return (Floats)_mm512_dpbf16_ps((__m512)sum, (__m512bh)(Ints)all_words(pair), (__m512bh)w);
    }

    static uint16_t round(float x) {  // to the nearest, ties to even
        uint32_t bits;
        std::memcpy(&bits, &x, 4);
        return uint16_t((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
    }

    static void round(const float* x, int64_t count, uint16_t* to) {
        for (int64_t i = 0; i < count; ++i) to[i] = round(x[i]);
    }
};
#else
typedef Float32 Bfloat16;
#endif

template <class Operand, int ROWS, int VECTORS>
static void product_tile(const Panel& panel, const float* packed, const typename Operand::State* x, int64_t stride,
                         float* out) {
    Floats sum[ROWS][VECTORS] = {};
    for (const Range& range : panel.ranges) {
        const float* w = packed + range.offset;
        for (int64_t k = range.begin; k < range.end; k += Operand::ROWS_OF_J, w += VECTORS * LANES) {
            Floats row[VECTORS];
            for (int v = 0; v < VECTORS; ++v) row[v] = load(w + v * LANES);
            for (int r = 0; r < ROWS; ++r)
                for (int v = 0; v < VECTORS; ++v) sum[r][v] = Operand::multiply(x + r * stride + k, row[v], sum[r][v]);
        }
    }
    for (int r = 0; r < ROWS; ++r)
        for (int v = 0; v < VECTORS; ++v) store(out + r * stride + v * LANES, sum[r][v]);
}

template <class Operand, int VECTORS>
static void product_panel(const Panel& panel, const float* packed, const typename Operand::State* x, int64_t stride,
                          int64_t rows, float* out) {
    int64_t r = 0;
    auto tiles = [&](auto height) {
        for (; r + height.value <= rows; r += height.value)
            product_tile<Operand, height.value, VECTORS>(panel, packed, x + r * stride, stride, out + r * stride);
    };
    tiles(std::integral_constant<int, TILE_ROWS>());
    tiles(std::integral_constant<int, 4>());
    tiles(std::integral_constant<int, 2>());
    tiles(std::integral_constant<int, 1>());
}

// The map x -> x J, or x -> x J^T, [rows, stride] each.
class Product {
  public:
    Product(const Shape& shape, const Block* blocks, int64_t count, bool transposed, bool bfloat16)
        : shape_(shape), bfloat16_(bfloat16 && Bfloat16::ROWS_OF_J == 2), couplings_(shape, blocks, count, transposed),
          panels_(couplings_.panels()), packed_(couplings_.pack()) {
        if (bfloat16_) pack_bfloat16();
    }

    bool empty() const { return couplings_.empty(); }
    const Couplings& couplings() const { return couplings_; }

    void operator()(const float* x, int64_t rows, float* out) const {
#if defined(__AVX512BF16__)
        if (bfloat16_) {
            thread_local std::vector<uint16_t> rounded;
            rounded.resize(rows * shape_.stride + 1);
            Bfloat16::round(x, rows * shape_.stride, rounded.data());
            return multiply<Bfloat16>(rounded.data(), rows, out);
        }
#endif
        multiply<Float32>(x, rows, out);
    }

  private:
    template <class Operand>
    void multiply(const typename Operand::State* x, int64_t rows, float* out) const {
        for (const Panel& panel : panels_) {
            float* to = out + panel.vector * LANES;
            if (panel.vectors == 1) product_panel<Operand, 1>(panel, packed_.data(), x, shape_.stride, rows, to);
            if (panel.vectors == 2) product_panel<Operand, 2>(panel, packed_.data(), x, shape_.stride, rows, to);
            if (panel.vectors == 3) product_panel<Operand, 3>(panel, packed_.data(), x, shape_.stride, rows, to);
        }
    }

    // Packed again, two rows of J to one; ranges of odd length end with a row of zeros.
    void pack_bfloat16() {
        int64_t size = 0;
        for (Panel& panel : panels_)
            for (Range& range : panel.ranges) {
                range.offset = size;
                size += (range.end - range.begin + 1) / 2 * panel.vectors * LANES;
            }
        Buffer pairs(size);
        for (size_t p = 0; p < panels_.size(); ++p) {
            const int64_t width = panels_[p].vectors * LANES;
            for (size_t i = 0; i < panels_[p].ranges.size(); ++i) {
                const Range& range = panels_[p].ranges[i];
                const float* from = packed_.data() + couplings_.panels()[p].ranges[i].offset;
                float* to = pairs.data() + range.offset;
                for (int64_t k = range.begin; k < range.end; k += 2, from += 2 * width, to += width)
                    Bfloat16::pack(to, from, k + 1 < range.end ? from + width : nullptr, width);
            }
        }
        packed_ = std::move(pairs);
    }

    Shape shape_;
    bool bfloat16_;
    Couplings couplings_;
    std::vector<Panel> panels_;
    Buffer packed_;
};

template <int ROWS, int VECTORS>
static void outer_tile(const float* x, const float* a, int64_t stride, int64_t count, float* out) {
    Floats sum[ROWS][VECTORS] = {};
    for (int64_t t = 0; t < count; ++t, x += stride, a += stride) {
        Floats row[VECTORS];
        for (int v = 0; v < VECTORS; ++v) row[v] = load(a + v * LANES);
        for (int r = 0; r < ROWS; ++r) {
            const Floats factor = all(x[r]);
            for (int v = 0; v < VECTORS; ++v) sum[r][v] = fma(factor, row[v], sum[r][v]);
        }
    }
    for (int r = 0; r < ROWS; ++r)
        for (int v = 0; v < VECTORS; ++v) {
            float* to = out + (r * VECTORS + v) * LANES;
            store(to, load(to) + sum[r][v]);
        }
}

template <int VECTORS>
static void outer_panel(const Panel& panel, const float* x, const float* a, int64_t stride, int64_t count, float* out) {
    for (const Range& range : panel.ranges) {
        float* to = out + range.offset;
        int64_t k = range.begin;
        for (; k + TILE_ROWS <= range.end; k += TILE_ROWS, to += TILE_ROWS * VECTORS * LANES)
            outer_tile<TILE_ROWS, VECTORS>(x + k, a, stride, count, to);
        for (; k < range.end; ++k, to += VECTORS * LANES) outer_tile<1, VECTORS>(x + k, a, stride, count, to);
    }
}

// Adds sum_t x_t^T a_t to the packed gradient; x and a are [count, stride].
static void add_outer(const Couplings& couplings, const Shape& shape, const float* x, const float* a, int64_t count,
                      Buffer& gradient) {
    for (const Panel& panel : couplings.panels()) {
        const float* columns = a + panel.vector * LANES;
        if (panel.vectors == 1) outer_panel<1>(panel, x, columns, shape.stride, count, gradient.data());
        if (panel.vectors == 2) outer_panel<2>(panel, x, columns, shape.stride, count, gradient.data());
        if (panel.vectors == 3) outer_panel<3>(panel, x, columns, shape.stride, count, gradient.data());
    }
}
