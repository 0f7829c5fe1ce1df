// The normals of noise.py: the same Philox words, logarithm and sine by polynomials, equal to about 1e-6. Quick ones, for
// runs with rounded products on a matrix unit, take shorter polynomials and no root.
#pragma once

#include "vector.h"

constexpr uint32_t MULTIPLIER_0 = 0xD2511F53u, MULTIPLIER_1 = 0xCD9E8D57u, WEYL_0 = 0x9E3779B9u, WEYL_1 = 0xBB67AE85u;

// The common part of the counters of one step.
struct NoiseStep {
    uint32_t step_low, step_high_and_stream, key_0, key_1;
    uint64_t round_keys[10][2];  // in memory, from where a vector takes them for nothing
    bool quick;
    NoiseStep(uint64_t seed, int64_t stream, uint64_t step, bool quick = false)
        : step_low(uint32_t(step)), step_high_and_stream(uint32_t(step >> 32) | uint32_t(stream) << 24),
          key_0(uint32_t(seed)), key_1(uint32_t(seed >> 32)), quick(quick) {
        for (uint32_t round = 0; round < 10; ++round) {
            round_keys[round][0] = uint32_t(key_0 + round * WEYL_0);
            round_keys[round][1] = uint32_t(key_1 + round * WEYL_1);
        }
    }
};

// Rounds `first` ... 9 of Philox4x32-10; even and odd lanes apart, in 64-bit lanes whose high halves may hold anything.
__attribute__((always_inline)) static inline void philox_rounds(int first, const NoiseStep& at, Longs c0[2],
                                                                Longs c1[2], Longs c2[2], Longs c3[2],
                                                                Words words[4]) {
    for (int round = first; round < 10; ++round) {
        const uint64_t r0 = at.round_keys[round][0], r1 = at.round_keys[round][1];
        for (int half = 0; half < 2; ++half) {
            const Longs p0 = multiply_low_halves(c0[half], MULTIPLIER_0);
            const Longs p1 = multiply_low_halves(c2[half], MULTIPLIER_1);
            c0[half] = (p1 >> 32) ^ c1[half] ^ r0;
            c1[half] = p1;
            c2[half] = (p0 >> 32) ^ c3[half] ^ r1;
            c3[half] = p0;
        }
    }
    const uint64_t low = 0xFFFFFFFFull;
    words[0] = (Words)((c0[0] & low) | (c0[1] << 32));
    words[1] = (Words)((c1[0] & low) | (c1[1] << 32));
    words[2] = (Words)((c2[0] & low) | (c2[1] << 32));
    words[3] = (Words)((c3[0] & low) | (c3[1] << 32));
}

// Philox4x32-10 of the counters (unit + lane, group, step): four words for each of LANES units.
// In the first two rounds the words that all units share are computed once.
__attribute__((always_inline)) static inline void philox(uint32_t unit, uint32_t group, const NoiseStep& at,
                                                         Words words[4]) {
    Words lane;
    for (int i = 0; i < LANES; ++i) lane[i] = i;
    const Longs units = (Longs)(lane + unit);
    uint32_t k0 = at.key_0, k1 = at.key_1;

    const uint64_t shared_1 = uint64_t(at.step_low) * MULTIPLIER_1;
    const uint32_t first_0 = uint32_t(shared_1 >> 32) ^ group ^ k0, first_1 = uint32_t(shared_1);
    const uint64_t shared_0 = uint64_t(first_0) * MULTIPLIER_0;
    Longs c0[2], c1[2], c2[2], c3[2];
    for (int half = 0; half < 2; ++half) {
        const Longs product = multiply_low_halves(half ? units >> 32 : units, MULTIPLIER_0);
        const uint64_t stream = at.step_high_and_stream ^ k1;
        const Longs second = multiply_low_halves((product >> 32) ^ stream, MULTIPLIER_1);
        c0[half] = (second >> 32) ^ uint64_t(first_1 ^ (k0 + WEYL_0));
        c1[half] = second;
        c2[half] = product ^ uint64_t(uint32_t(shared_0 >> 32) ^ (k1 + WEYL_1));
        c3[half] = uint64_t(uint32_t(shared_0)) - Longs{};
    }
    philox_rounds(2, at, c0, c1, c2, c3, words);
}

// The same for one unit and LANES groups of samples. Three rounds have words that all groups share.
__attribute__((always_inline)) static inline void philox_of_groups(uint32_t unit, Words group, const NoiseStep& at,
                                                                   Words words[4]) {
    uint32_t k0 = at.key_0, k1 = at.key_1;
    auto low = [](uint64_t product) { return uint32_t(product); };
    auto high = [](uint64_t product) { return uint32_t(product >> 32); };

    uint64_t p0 = uint64_t(unit) * MULTIPLIER_0, p1 = uint64_t(at.step_low) * MULTIPLIER_1;
    const uint64_t first_0 = high(p1) ^ k0;
    const uint32_t first_1 = low(p1), first_2 = high(p0) ^ at.step_high_and_stream ^ k1, first_3 = low(p0);
    k0 += WEYL_0, k1 += WEYL_1;
    p1 = uint64_t(first_2) * MULTIPLIER_1;
    const uint32_t second_0 = high(p1) ^ first_1 ^ k0, second_1 = low(p1);
    const uint64_t second_2 = first_3 ^ k1;
    k0 += WEYL_0, k1 += WEYL_1;
    p0 = uint64_t(second_0) * MULTIPLIER_0;
    Longs c0[2], c1[2], c2[2], c3[2];
    for (int half = 0; half < 2; ++half) {
        const Longs of_group = half ? (Longs)group >> 32 : (Longs)group;
        const Longs second_3 = multiply_low_halves(of_group ^ first_0, MULTIPLIER_0);
        c1[half] = multiply_low_halves((second_3 >> 32) ^ second_2, MULTIPLIER_1);
        c0[half] = (c1[half] >> 32) ^ uint64_t(second_1 ^ k0);
        c2[half] = second_3 ^ uint64_t(high(p0) ^ k1);
        c3[half] = uint64_t(low(p0)) - Longs{};
    }
    philox_rounds(3, at, c0, c1, c2, c3, words);
}

// Natural logarithm of 2^-33 <= x <= 1. Coefficients: Cephes logf (Moshier).
__attribute__((always_inline)) static inline Floats logarithm(Floats x) {
    const Words bits = (Words)x + (0x3F800000u - 0x3F3504F3u);  // so that the mantissa lies in [sqrt(1/2), sqrt(2))
    const Floats exponent = to_floats((Ints)(bits >> 23) - 127);
    const Floats f = (Floats)((bits & 0x007FFFFFu) + 0x3F3504F3u) - 1.0f;
    Floats p = all(7.0376836292e-2f);
    p = fma(p, f, all(-1.1514610310e-1f));
    p = fma(p, f, all(1.1676998740e-1f));
    p = fma(p, f, all(-1.2420140846e-1f));
    p = fma(p, f, all(1.4249322787e-1f));
    p = fma(p, f, all(-1.6668057665e-1f));
    p = fma(p, f, all(2.0000714765e-1f));
    p = fma(p, f, all(-2.4999993993e-1f));
    p = fma(p, f, all(3.3333331174e-1f));
    const Floats square = f * f;
    p = fma(exponent, all(-2.12194440e-4f), p * f * square);
    p = fma(square, all(-0.5f), p);
    return fma(exponent, all(0.693359375f), f + p);
}

// Two normals from two words: r cos(a), r sin(a), with r^2 = -2 ln((w + 1/2) / 2^32) and a = 2 pi w' / 2^32.
// The octant comes from the integer, exactly. Coefficients: Cephes sinf, cosf.
__attribute__((always_inline)) static inline void box_muller(Words w, Words angle, Floats& first, Floats& second) {
    const Floats radius = root(logarithm((to_floats(w) + 0.5f) * 2.3283064365386963e-10f) * -2.0f);
    const Words quarter = (angle + 0x20000000u) >> 30;
    const Floats x = to_floats((Ints)(angle - (quarter << 30))) * 1.4629180792671596e-9f;
    const Floats z = x * x;
    Floats s = fma(all(-1.9515295891e-4f), z, all(8.3321608736e-3f));
    s = fma(fma(s, z, all(-1.6666654611e-1f)) * z, x, x);
    Floats c = fma(all(2.443315711809948e-5f), z, all(-1.388731625493765e-3f));
    c = fma(fma(c, z, all(4.166664568298827e-2f)), z * z, fma(z, all(-0.5f), all(1.0f)));
    const Ints odd = (Ints)((quarter & 1u) != 0u);
    const Floats over = (Floats)((odd & (Ints)s) | (~odd & (Ints)c)), up = (Floats)((odd & (Ints)c) | (~odd & (Ints)s));
    first = radius * (Floats)((Words)over ^ (((quarter + 1u) & 2u) << 30));
    second = radius * (Floats)((Words)up ^ ((quarter & 2u) << 30));
}

// The same to 1e-6, of which ln has 3e-7, sine and cosine 5e-8: half turns of the angle instead of octants.
__attribute__((always_inline)) static inline void quick_box_muller(Words w, Words angle, Floats& first,
                                                                   Floats& second) {
#if defined(__AVX512F__)
    const Floats t = to_floats(w) + 0.5f;  // = 2^(32 + exponent) (1 + f), f from -1/4 to 1/2
    const Floats exponent = (Floats)_mm512_getexp_ps((__m512)(t * 1.3333334f)) - 32.0f;
    const Floats f = (Floats)_mm512_getmant_ps((__m512)t, _MM_MANT_NORM_p75_1p5, _MM_MANT_SIGN_src) - 1.0f;
    Floats p = fma(all(7.944125682e-2f), f, all(-1.657517403e-1f));
    p = fma(p, f, all(2.069136798e-1f));
    p = fma(p, f, all(-2.509090900e-1f));
    p = fma(p, f, all(3.331604600e-1f));
    p = fma(p, f, all(-4.999786615e-1f));
    const Floats ln = fma(exponent, all(6.931471806e-1f), fma(p, f * f, f));
    const Floats square = larger(ln * -2.0f, all(1e-30f)), radius = square * inverse_root(square);
    const Floats x = to_floats((Ints)(angle << 1)) * 7.3145904e-10f, z = x * x;
    Floats s = fma(all(2.600054586e-6f), z, all(-1.980661473e-4f));
    s = fma(s, z, all(8.333017118e-3f));
    s = fma(fma(s, z, all(-1.666665673e-1f)) * z, x, x);
    Floats c = fma(all(2.319438499e-5f), z, all(-1.385592739e-3f));
    c = fma(c, z, all(4.166398942e-2f));
    c = fma(fma(c, z, all(-4.999993145e-1f)), z, all(1.0f));
    const Floats turned = (Floats)((Words)radius ^ ((angle + 0x40000000u) & 0x80000000u));
    first = turned * c;
    second = turned * s;
#else
    box_muller(w, angle, first, second);
#endif
}

// Calls body(row, first unit of the vector, normals) for all rows and those of the vectors first ... last - 1 of units
// that are `wanted`, all if it is null; samples 4 g ... 4 g + 3 share a block.
template <class Body>
static inline void for_normals_of(int64_t first, int64_t last, const int64_t* ids, int64_t rows, const NoiseStep& at,
                                  Body&& body, const uint8_t* wanted = nullptr) {
    const auto transform = [&](Words w, Words angle, Floats& one, Floats& other) {
        at.quick ? quick_box_muller(w, angle, one, other) : box_muller(w, angle, one, other);
    };
    int64_t row = 0;
    while (row < rows) {
        const int64_t id = ids[row];
        const bool whole = row + 4 <= rows && id % 4 == 0 && ids[row + 1] == id + 1 && ids[row + 2] == id + 2 &&
                           ids[row + 3] == id + 3;
        for (int64_t unit = first * LANES; unit < last * LANES; unit += LANES) {
            if (wanted && !wanted[unit / LANES]) continue;
            Words words[4];
            Floats normals[4];
            philox(uint32_t(unit), uint32_t(id / 4), at, words);
            if (whole) {
                transform(words[0], words[1], normals[0], normals[1]);
                transform(words[2], words[3], normals[2], normals[3]);
                for (int lane = 0; lane < 4; ++lane) body(row + lane, unit, normals[lane]);
            } else {
                const int pair = id % 4 / 2 * 2;
                transform(words[pair], words[pair + 1], normals[0], normals[1]);
                body(row, unit, normals[id % 2]);
            }
        }
        row += whole ? 4 : 1;
    }
}

// The same for all vectors of units.
template <class Body>
static inline void for_normals(const Shape& shape, const int64_t* ids, int64_t rows, const NoiseStep& at, Body&& body,
                               const uint8_t* wanted = nullptr) {
    for_normals_of(0, shape.vectors, ids, rows, at, std::forward<Body>(body), wanted);
}
