// x J on the matrix unit of Intel's processors (AMX), from bfloat16 pieces of both; sums are float32.
//
//     bf16: x_1 w_1        tf32: x_1 w_1 + x_1 w_2 + x_2 w_1,   x_1 = bf16(x), x_2 = bf16(x - x_1)
//
// A piece rounds by 2^-9 of what it stands for, so that a term of two pieces is off by at most 3 x 2^-18: what it leaves
// out, x_2 w_2, and what the second pieces round.
//
// An output is one sum over tiles of 32 rows of J in a fixed order, in a row of a tile that belongs to its sample alone:
// the same to the bit whatever the batch, the chunk or the thread.
#pragma once

#include "couplings.h"
#include "crew.h"

#if defined(__AMX_TILE__) && defined(__AMX_BF16__) && defined(__AVX512BF16__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#define THERMOTORCH_AMX 1
#else
#define THERMOTORCH_AMX 0
#endif

namespace amx {

#if THERMOTORCH_AMX

// Asks Linux for the registers, for all threads of the process and once: they are large and not given to everybody.
static inline bool available() {
    static const bool granted = [] {
        constexpr long REQUEST_PERMISSION = 0x1023, TILE_DATA = 18;
        return !syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA);
    }();
    return granted;
}

constexpr int64_t HEIGHT = 16, DEPTH = 32, PITCH = 64;  // rows of a tile, bfloat16 numbers and bytes in each
constexpr int64_t TILE = HEIGHT * DEPTH, WIDTH = 2;     // numbers of a tile; vectors of columns of a panel

// Registers 0-3 are sums, [first or second sixteen samples][first or second vector]; 4 and 5 hold states, 6 and 7
// couplings. The first sixteen samples have `first` rows, the second `second`.
static inline void configure(int64_t first, int64_t second) {
    struct alignas(64) {
        uint8_t palette = 1, start = 0, reserved[14] = {};
        uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
        uint8_t rows[16] = {};
    } config;
    for (int tile : {0, 1, 4}) config.rows[tile] = uint8_t(first);
    for (int tile : {2, 3, 5}) config.rows[tile] = uint8_t(second);
    config.rows[6] = config.rows[7] = HEIGHT;
    _tile_loadconfig(&config);
}

// Two vectors of floats as pieces: `to` and, if there are two, `to` + `distance`.
static inline void split(Floats low, Floats high, int64_t pieces, uint16_t* to, int64_t distance) {
    for (int64_t piece = 0;; ++piece, to += distance) {
        const __m512i rounded = (__m512i)_mm512_cvtne2ps_pbh((__m512)high, (__m512)low);
        _mm512_storeu_si512(to, rounded);
        if (piece + 1 == pieces) return;
        const auto value = [](__m256i half) { return (Floats)_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16); };
        low -= value(_mm512_castsi512_si256(rounded));
        high -= value(_mm512_extracti64x4_epi64(rounded, 1));
    }
}

// So many bfloat16 numbers, from a cache line on.
class Tiles {
  public:
    explicit Tiles(size_t size = 0) : floats_((size + 1) / 2) {}
    uint16_t* data() { return reinterpret_cast<uint16_t*>(floats_.data()); }
    const uint16_t* data() const { return reinterpret_cast<const uint16_t*>(floats_.data()); }

  private:
    Buffer floats_;
};

// Pieces of the states of `rows` samples, as tiles take them: sixteen samples after another, 32 units of each after
// another; as many numbers for the second pieces.
class States {
  public:
    void resize(const Shape& shape, int64_t rows, int64_t pieces) {
        depth_ = (shape.units + DEPTH - 1) / DEPTH;
        pieces_ = pieces;
        distance_ = (rows + HEIGHT - 1) / HEIGHT * depth_ * TILE;
        numbers_.resize(pieces * distance_);
    }

    void load(const Shape& shape, const float* x, int64_t rows) {
        for (int64_t r = 0; r < rows; ++r)
            for (int64_t d = 0; d < depth_; ++d) {
                const float* from = x + r * shape.stride + d * DEPTH;
                const bool two = (d + 1) * DEPTH <= shape.stride;
                split(::load(from), two ? ::load(from + LANES) : Floats{}, pieces_, at(r, d), distance_);
            }
    }

    // LANES units of a sample, from unit `i` on.
    void set(int64_t row, int64_t i, Floats x) {
        uint16_t* to = at(row, i / DEPTH) + i % DEPTH;
        for (int64_t piece = 0;; ++piece, to += distance_) {
            const __m256i rounded = (__m256i)_mm512_cvtneps_pbh((__m512)x);
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), rounded);
            if (piece + 1 == pieces_) return;
            x -= (Floats)_mm512_slli_epi32(_mm512_cvtepu16_epi32(rounded), 16);
        }
    }

    const uint16_t* sixteen(int64_t row) const { return numbers_.data() + row * depth_ * DEPTH; }
    int64_t distance() const { return distance_; }

  private:
    uint16_t* at(int64_t r, int64_t d) {
        return numbers_.data() + ((r / HEIGHT * depth_ + d) * HEIGHT + r % HEIGHT) * DEPTH;
    }

    int64_t depth_ = 0, pieces_ = 1, distance_ = 0;
    std::vector<uint16_t> numbers_;
};

// body(first row, number of rows) for up to 32 samples at a time, with tiles of that height.
template <class Body>
static void for_samples(int64_t rows, Body&& body) {
    configure(HEIGHT, HEIGHT);
    int64_t row = 0;
    for (; row + 2 * HEIGHT <= rows; row += 2 * HEIGHT) body(row, 2 * HEIGHT);
    if (const int64_t left = rows - row) {
        configure(std::min(left, HEIGHT), left > HEIGHT ? left - HEIGHT : HEIGHT);
        body(row, left);
    }
    _tile_release();  // threads that hold tiles take the system longer to put aside
}

// The map x -> x J, or x -> x J^T, [rows, stride] each.
class Product {
  public:
    Product(const Shape& shape, const Block* blocks, int64_t count, bool transposed, int64_t pieces)
        : shape_(shape), pieces_(pieces), depth_((shape.units + DEPTH - 1) / DEPTH) {
        const Couplings couplings(shape, blocks, count, transposed, LANES, WIDTH);
        const Buffer packed = couplings.pack();
        int64_t tiles = 0;
        for (const ::Panel& from : couplings.panels()) {
            Panel panel{from.vector, from.vectors, tiles * TILE, {}};
            for (const Range& range : from.ranges)
                for (int64_t at = range.begin / DEPTH; at * DEPTH < range.end; ++at)
                    if (panel.depths.empty() || panel.depths.back() < at) panel.depths.push_back(at);
            tiles += int64_t(panel.depths.size()) * from.vectors * pieces;
            panels_.push_back(panel);
        }
        tiles_ = Tiles(tiles * TILE);
        for (size_t p = 0; p < panels_.size(); ++p) pack(panels_[p], couplings.panels()[p], packed.data());
    }

    void operator()(const float* x, int64_t rows, float* out) const {
        thread_local States states;
        states.resize(shape_, rows, pieces_);
        states.load(shape_, x, rows);
        with_help(panels(), [&, &from = states](int64_t p) {
            for_samples(rows, [&](int64_t row, int64_t count) {
                field(p, from, row, count, out + row * shape_.stride + vector(p) * LANES, shape_.stride);
            });
        });
    }

    int64_t pieces() const { return pieces_; }
    int64_t panels() const { return panels_.size(); }
    // The first vector of columns of a panel, and how many it has.
    int64_t vector(int64_t p) const { return panels_[p].vector; }
    int64_t vectors(int64_t p) const { return panels_[p].vectors; }
    bool empty(int64_t p) const { return panels_[p].depths.empty(); }

    // The couplings of a panel and their number of cache lines.
    const uint16_t* couplings(int64_t p) const { return tiles_.data() + panels_[p].offset; }
    int64_t lines(int64_t p) const {
        return int64_t(panels_[p].depths.size()) * panels_[p].vectors * pieces_ * TILE * 2 / PITCH;
    }

    // One panel of the product, of `count` <= 32 samples from `row` on, inside of `for_samples`.
    void field(int64_t p, const States& states, int64_t row, int64_t count, float* out, int64_t stride) const {
        const Panel& panel = panels_[p];
        const bool two = panel.vectors == 2, both = count > HEIGHT;
        const auto sum = two ? both ? &Product::sum<2, true> : &Product::sum<2, false>
                             : both ? &Product::sum<1, true> : &Product::sum<1, false>;
        (this->*sum)(panel, states.sixteen(row), states.distance(), out, stride);
    }

  private:
    struct Panel {
        int64_t vector, vectors, offset;  // offset: of its couplings, in numbers
        std::vector<int64_t> depths;      // which 32 rows of J
    };

    template <int VECTORS, bool BOTH>
    void sum(const Panel& panel, const uint16_t* x, int64_t distance, float* out, int64_t stride) const {
        const uint16_t* w = tiles_.data() + panel.offset;
        const int64_t second = depth_ * TILE, bytes = stride * 4;
        const auto load_states = [&](const uint16_t* from) {
            _tile_loadd(4, from, PITCH);
            if constexpr (BOTH) _tile_loadd(5, from + second, PITCH);
        };
        const auto load_couplings = [](const uint16_t* from) {
            _tile_loadd(6, from, PITCH);
            if constexpr (VECTORS == 2) _tile_loadd(7, from + TILE, PITCH);
        };
        const auto add_products = [] {
            _tile_dpbf16ps(0, 4, 6);
            if constexpr (VECTORS == 2) _tile_dpbf16ps(1, 4, 7);
            if constexpr (BOTH) _tile_dpbf16ps(2, 5, 6);
            if constexpr (BOTH && VECTORS == 2) _tile_dpbf16ps(3, 5, 7);
        };
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
        for (const int64_t depth : panel.depths) {
            const uint16_t* here = x + depth * TILE;
            load_states(here);
            if (pieces_ == 2) {
                load_couplings(w + VECTORS * TILE);
                add_products();
            }
            load_couplings(w);
            add_products();
            if (pieces_ == 2) {
                load_states(here + distance);
                add_products();
            }
            w += pieces_ * VECTORS * TILE;
        }
        _tile_stored(0, out, bytes);
        if constexpr (VECTORS == 2) _tile_stored(1, out + LANES, bytes);
        if constexpr (BOTH) _tile_stored(2, out + HEIGHT * stride, bytes);
        if constexpr (BOTH && VECTORS == 2) _tile_stored(3, out + HEIGHT * stride + LANES, bytes);
    }

    // Tiles of 32 rows: first pieces of one or two vectors of columns, then second pieces. In a tile, rows lie in pairs.
    void pack(const Panel& panel, const ::Panel& source, const float* packed) {
        const int64_t width = panel.vectors * LANES;
        std::vector<float> rows(DEPTH * width);
        uint16_t* to = tiles_.data() + panel.offset;
        for (const int64_t depth : panel.depths) {
            std::fill(rows.begin(), rows.end(), 0.0f);
            for (const Range& range : source.ranges) {
                const int64_t begin = std::max(range.begin, depth * DEPTH);
                const int64_t count = std::min(range.end, (depth + 1) * DEPTH) - begin;
                if (count > 0)
                    std::memcpy(rows.data() + (begin - depth * DEPTH) * width,
                                packed + range.offset + (begin - range.begin) * width, 4 * count * width);
            }
            for (int64_t v = 0; v < panel.vectors; ++v, to += TILE)
                for (int64_t pair = 0; pair < HEIGHT; ++pair) {
                    alignas(64) uint16_t parts[2][2 * LANES];
                    const float* from = rows.data() + 2 * pair * width + v * LANES;
                    split(load(from), load(from + width), pieces_, parts[0], 2 * LANES);
                    for (int64_t piece = 0; piece < pieces_; ++piece)
                        for (int64_t c = 0; c < LANES; ++c)
                            for (int64_t row = 0; row < 2; ++row)
                                to[piece * panel.vectors * TILE + pair * DEPTH + 2 * c + row] =
                                    parts[piece][row * LANES + c];
                }
            to += (pieces_ - 1) * panel.vectors * TILE;
        }
    }

    Shape shape_;
    int64_t pieces_, depth_;
    std::vector<Panel> panels_;
    Tiles tiles_;
};

#else

static inline bool available() { return false; }

#endif

}  // namespace amx
