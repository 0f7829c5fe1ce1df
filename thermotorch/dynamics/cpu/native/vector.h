// Vectors of LANES floats or 32-bit words, and the few operations that the compiler's own vectors do not have.
//
// Contraction of a * b + c by the compiler is off (see build.py): every fused multiply-add is written as `fma`, so that
// a sample's result does not depend on which loop it went through.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <type_traits>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
constexpr int LANES = 16, TILE_ROWS = 8, TILE_VECTORS = 3;  // 24 accumulators of 32 registers
#elif defined(__AVX2__)
constexpr int LANES = 8, TILE_ROWS = 4, TILE_VECTORS = 3;  // 12 of 16
#else
constexpr int LANES = 4, TILE_ROWS = 4, TILE_VECTORS = 3;
#endif

typedef float Floats __attribute__((vector_size(4 * LANES)));
typedef int32_t Ints __attribute__((vector_size(4 * LANES)));
typedef uint32_t Words __attribute__((vector_size(4 * LANES)));
typedef uint64_t Longs __attribute__((vector_size(4 * LANES)));
typedef float LooseFloats __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

static inline Floats load(const float* p) { return *reinterpret_cast<const LooseFloats*>(p); }
static inline void store(float* p, Floats x) { *reinterpret_cast<LooseFloats*>(p) = x; }
static inline Floats all(float x) { return x - Floats{}; }
static inline Words all_words(uint32_t x) { return x - Words{}; }

static inline Floats fma(Floats a, Floats b, Floats c) {
#if defined(__AVX512F__)
    return (Floats)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__AVX2__) && defined(__FMA__)
    return (Floats)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__aarch64__)
    Floats r;
    for (int i = 0; i < LANES; ++i) r[i] = __builtin_fmaf(a[i], b[i], c[i]);
    return r;
#else
    return a * b + c;
#endif
}

static inline Floats magnitude(Floats x) { return (Floats)((Words)x & all_words(0x7FFFFFFF)); }

static inline Floats larger(Floats a, Floats b) {
#if defined(__AVX512F__)
    return (Floats)_mm512_max_ps((__m512)a, (__m512)b);
#else
    return a > b ? a : b;
#endif
}

static inline Floats root(Floats x) {
#if defined(__AVX512F__)
    return (Floats)_mm512_sqrt_ps((__m512)x);
#elif defined(__AVX2__)
    return (Floats)_mm256_sqrt_ps((__m256)x);
#else
    Floats r;
    for (int i = 0; i < LANES; ++i) r[i] = std::sqrt(x[i]);
    return r;
#endif
}

// 1 / sqrt(x) of 1 <= x < infinity to about 1e-7: a guess of 14 bits and a step of Newton take a third of the time of
// root and quotient.
static inline Floats inverse_root(Floats x) {
#if defined(__AVX512F__)
    const Floats guess = (Floats)_mm512_rsqrt14_ps((__m512)x);
    return guess * fma(x * -0.5f, guess * guess, all(1.5f));
#else
    return 1.0f / root(x);
#endif
}

// Product of the low halves of 64-bit lanes; what the high halves hold does not matter.
static inline Longs multiply_low_halves(Longs a, uint32_t factor) {
    const Longs b = factor - Longs{};
#if defined(__AVX512F__)
    return (Longs)_mm512_mul_epu32((__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
    return (Longs)_mm256_mul_epu32((__m256i)a, (__m256i)b);
#elif defined(__SSE2__)
    return (Longs)_mm_mul_epu32((__m128i)a, (__m128i)b);
#else
    return (a & 0xFFFFFFFFull) * b;
#endif
}

// Sum of the lanes.
static inline float total(Floats x) {
#if defined(__AVX512F__)
    return _mm512_reduce_add_ps((__m512)x);
#else
    float sum = x[0];
    for (int i = 1; i < LANES; ++i) sum += x[i];
    return sum;
#endif
}

static inline float sum_of_squares(const float* x, int64_t step, int64_t count) {
    Floats sums = {};
    int64_t i = 0;
    for (; step == 1 && i + LANES <= count; i += LANES) sums = fma(load(x + i), load(x + i), sums);
    float sum = total(sums);
    for (; i < count; ++i) sum += x[i * step] * x[i * step];
    return sum;
}

// The largest absolute value; `count` is a multiple of LANES.
static inline float largest(const float* x, int64_t count) {
    Floats most = {};
    for (int64_t i = 0; i < count; i += LANES) most = larger(most, magnitude(load(x + i)));
    float found = most[0];
    for (int lane = 1; lane < LANES; ++lane) found = std::max(found, most[lane]);
    return found;
}

// 2^(power - exponent of x), the exponent within what a scale may have; 2^power of zero.
static inline float power_of_two_over(float x, int power) {
    uint32_t bits;
    std::memcpy(&bits, &x, 4);
    const int exponent = x == 0 ? 127 : std::clamp(int(bits >> 23 & 0xFF), 64, 190);
    bits = uint32_t(254 + power - exponent) << 23;
    std::memcpy(&x, &bits, 4);
    return x;
}

static inline Floats power_of_two_over(Floats x, int power) {
    Ints exponent = (Ints)((Words)x >> 23 & 0xFF);
    exponent = exponent < 64 ? 64 - Ints{} : exponent;
    exponent = exponent > 190 ? 190 - Ints{} : exponent;
    exponent = x == 0.0f ? 127 - Ints{} : exponent;
    return (Floats)((254 + power - exponent) << 23);
}

static inline Floats to_floats(Words w) { return __builtin_convertvector(w, Floats); }
static inline Floats to_floats(Ints w) { return __builtin_convertvector(w, Floats); }

// body(n) with n, which is 1 to MOST, as a constant: `n.value`.
template <int MOST, class Body>
static inline void with_constant(int64_t n, Body&& body) {
    if (n == MOST) return body(std::integral_constant<int, MOST>());
    if constexpr (MOST > 1) with_constant<MOST - 1>(n, body);
}

// body(height, first row) for rows in tiles of TILE_ROWS, and of fewer for the rest; `height.value` is a constant.
template <class Body>
static void for_tiles(int64_t rows, Body&& body) {
    int64_t row = 0;
    const auto tiles = [&](auto height) {
        for (; row + height.value <= rows; row += height.value) body(height, row);
    };
    tiles(std::integral_constant<int, TILE_ROWS>());
    tiles(std::integral_constant<int, 4>());
    tiles(std::integral_constant<int, 2>());
    tiles(std::integral_constant<int, 1>());
}

// An array of floats that starts on a cache line and holds zeros.
class Buffer {
  public:
    explicit Buffer(size_t size = 0) : size_(size) {
        const size_t bytes = (size * sizeof(float) + 63) / 64 * 64 + 64;
        data_.reset(static_cast<float*>(std::aligned_alloc(64, bytes)));
        if (!data_) throw std::bad_alloc();
        std::memset(data_.get(), 0, bytes);
    }
    float* data() { return data_.get(); }
    const float* data() const { return data_.get(); }
    size_t size() const { return size_; }

  private:
    struct Free {
        void operator()(float* p) const { std::free(p); }
    };
    std::unique_ptr<float, Free> data_;
    size_t size_;
};

// Rows of padded length: whole vectors, and an odd number of cache lines so that a tile's rows spread over the cache.
struct Shape {
    int64_t units, vectors, stride;
    explicit Shape(int64_t n) : units(n), vectors((n + LANES - 1) / LANES) {
        const int64_t line = 16, lines = (vectors * LANES + line - 1) / line;
        stride = (lines | 1) * line;
    }
};
