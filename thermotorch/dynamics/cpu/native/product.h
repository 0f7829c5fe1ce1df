// Products of states with couplings: out = x J for the blocks of J, and the gradient x^T a.
//
// Every output is one sum in a fixed order, whatever the tile, the batch or the number of threads.
#pragma once

#include <optional>

#include "amx.h"
#include "paired.h"

// To which products with the couplings may round their operands; the order of operators/arguments.py.
enum Precision : int64_t { IEEE, TF32, BF16 };

// Formats of the operands of a product; sums are always float32. Bfloat16 halves the time of a plain product where the
// processor multiplies it, and is the same as float32 where it does not.
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
    for_tiles(rows, [&](auto height, int64_t r) {
        product_tile<Operand, height.value, VECTORS>(panel, packed, x + r * stride, stride, out + r * stride);
    });
}

// The map x -> x J, or x -> x J^T, [rows, stride] each.
class Product {
  public:
    Product(const Shape& shape, const Block* blocks, int64_t count, bool transposed, int64_t precision)
        : shape_(shape), bfloat16_(precision == BF16 && Bfloat16::ROWS_OF_J == 2),
          couplings_(shape, blocks, count, transposed), panels_(couplings_.panels()) {
#if THERMOTORCH_AMX
        if (on_tiles(precision)) {
            tiles_.emplace(shape, blocks, count, transposed, precision == BF16 ? 1 : 2);
            return;
        }
#endif
        if (ADDS_BESIDE_MULTIPLIES && !bfloat16_)
            paired_.emplace(shape, blocks, count, transposed);
        else
            packed_ = couplings_.pack();
        if (bfloat16_) pack_bfloat16();
    }

    // True if the processor's matrix unit computes it, with bits of its own.
    static bool on_tiles(int64_t precision) { return precision != IEEE && amx::available(); }

#if THERMOTORCH_AMX
    // Null unless the matrix unit computes it.
    const amx::Product* tiles() const { return tiles_ ? &*tiles_ : nullptr; }
#endif

    bool empty() const { return couplings_.empty(); }
    const Couplings& couplings() const { return couplings_; }

    void operator()(const float* x, int64_t rows, float* out) const {
#if THERMOTORCH_AMX
        if (tiles_) return (*tiles_)(x, rows, out);
#endif
#if defined(__AVX512BF16__)
        if (bfloat16_) {
            thread_local std::vector<uint16_t> rounded;
            rounded.resize(rows * shape_.stride + 1);
            Bfloat16::round(x, rows * shape_.stride, rounded.data());
            return multiply<Bfloat16>(rounded.data(), rows, out);
        }
#endif
        if (paired_) return (*paired_)(x, rows, out);
        multiply<Float32>(x, rows, out);
    }

  private:
    template <class Operand>
    void multiply(const typename Operand::State* x, int64_t rows, float* out) const {
        with_help(panels_.size(), [&](int64_t p) {
            const Panel& panel = panels_[p];
            float* to = out + panel.vector * LANES;
            with_constant<TILE_VECTORS>(panel.vectors, [&](auto vectors) {
                product_panel<Operand, vectors.value>(panel, packed_.data(), x, shape_.stride, rows, to);
            });
        });
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
    std::optional<paired::Product> paired_;
#if THERMOTORCH_AMX
    std::optional<amx::Product> tiles_;
#endif
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
        with_constant<TILE_VECTORS>(panel.vectors, [&](auto vectors) {
            outer_panel<vectors.value>(panel, x, columns, shape.stride, count, gradient.data());
        });
    }
}
