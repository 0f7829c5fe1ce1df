// Products of states [unit, sample] with couplings: the samples of a chunk lie in the lanes (lanes.h).
#pragma once

#include <type_traits>

#include "paired.h"

namespace lanes {

constexpr int64_t WORDS = 4, SAMPLES = WORDS * LANES;  // of a chunk: the four words of a Philox block in four vectors
constexpr int TILE_UNITS = TILE_ROWS * TILE_VECTORS / WORDS;

template <int UNITS>
static void field_tile(const Panel& panel, const float* packed, const float* x, Floats* field) {
    Floats sum[UNITS][WORDS] = {};
    for (const Range& range : panel.ranges) {
        const float* w = packed + range.offset;
        const float* from = x + range.begin * SAMPLES;
        for (int64_t k = range.begin; k < range.end; ++k, w += UNITS, from += SAMPLES) {
            Floats row[WORDS];
            for (int v = 0; v < WORDS; ++v) row[v] = load(from + v * LANES);
            for (int u = 0; u < UNITS; ++u) {
                const Floats factor = all(w[u]);
                for (int v = 0; v < WORDS; ++v) sum[u][v] = fma(factor, row[v], sum[u][v]);
            }
        }
    }
    for (int u = 0; u < UNITS; ++u)
        for (int v = 0; v < WORDS; ++v) field[u * WORDS + v] = sum[u][v];
}

// The map x -> x J, or x -> x J^T, of one chunk.
class PlainProduct {
  public:
    PlainProduct(const Shape& shape, const Block* blocks, int64_t count, bool transposed)
        : couplings_(shape, blocks, count, transposed, 1, TILE_UNITS), packed_(couplings_.pack()) {}

    // body(unit, its field, WORDS vectors) for all units.
    template <class Body>
    void operator()(const float* x, Body&& body) const {
        for (const Panel& panel : couplings_.panels()) {
            Floats field[TILE_UNITS * WORDS];
            with_constant<TILE_UNITS>(panel.vectors,
                                      [&](auto units) { field_tile<units.value>(panel, packed_.data(), x, field); });
            for (int64_t u = 0; u < panel.vectors; ++u) body(panel.vector + u, field + u * WORDS);
        }
    }

  private:
    Couplings couplings_;
    Buffer packed_;
};

// The same by pairs of rows, as in paired.h.
class PairedProduct {
  public:
    PairedProduct(const Shape& shape, const Block* blocks, int64_t count, bool transposed)
        : units_(shape.units), couplings_(shape, blocks, count, transposed, 1, TILE_ROWS) {}

    template <class Body>
    void operator()(const float* x, Body&& body) const {
        thread_local std::vector<float> scaled;
        scaled.resize(units_ * SAMPLES);
        Floats unscale[WORDS];
        scale(x, scaled.data(), unscale);
        thread_local std::vector<float> of_states;
        of_states.resize(couplings_.kinds().size() * SAMPLES);
        for (size_t kind = 0; kind < couplings_.kinds().size(); ++kind)
            pairs_of_states(couplings_.kinds()[kind], scaled.data(), of_states.data() + kind * SAMPLES);
        for (const Panel& panel : couplings_.panels()) {
            Floats field[TILE_ROWS * WORDS];
            const float* of_kind = of_states.data() + panel.kind * SAMPLES;
            with_constant<TILE_ROWS>(panel.vectors, [&, from = scaled.data()](auto units) {
                paired_tile<units.value>(panel, from, of_kind, unscale, field);
            });
            for (int64_t u = 0; u < panel.vectors; ++u) body(panel.vector + u, field + u * WORDS);
        }
    }

  private:
    void scale(const float* x, float* scaled, Floats* unscale) const {
        Floats most[WORDS] = {}, factor[WORDS];
        for (int64_t at = 0; at < units_ * SAMPLES; at += SAMPLES)
            for (int v = 0; v < WORDS; ++v) most[v] = larger(most[v], magnitude(load(x + at + v * LANES)));
        for (int v = 0; v < WORDS; ++v) {
            factor[v] = paired::scale(most[v]);
            unscale[v] = 1.0f / (factor[v] * couplings_.scale());
        }
        for (int64_t at = 0; at < units_ * SAMPLES; at += SAMPLES)
            for (int v = 0; v < WORDS; ++v) store(scaled + at + v * LANES, load(x + at + v * LANES) * factor[v]);
    }

    void pairs_of_states(const std::vector<Range>& ranges, const float* x, float* out) const {
        Floats sum[WORDS] = {};
        for (const Range& range : ranges)
            for (int64_t k = range.begin; k + paired::GROUP <= range.end; k += paired::GROUP)
                for (int v = 0; v < WORDS; ++v) {
                    const float* at = x + k * SAMPLES + v * LANES;
                    const Floats first = load(at);
                    sum[v] = fma(paired::subtracted(k - range.begin) ? -first : first, load(at + SAMPLES), sum[v]);
                }
        for (int v = 0; v < WORDS; ++v) store(out + v * LANES, sum[v]);
    }

    // By itself, or the compiler keeps some of the sums in memory.
    template <int UNITS>
    __attribute__((noinline)) void paired_tile(const Panel& panel, const float* x, const float* of_states,
                                               const Floats* unscale, Floats* field) const {
        for (int v = 0; v < WORDS; ++v) {
            paired::Sums<UNITS> sums;
            for (const Range& range : panel.ranges)
                sums.add(x + range.begin * SAMPLES + v * LANES, SAMPLES, range.end - range.begin,
                         [w = couplings_.rows(range)](int u, int64_t k) { return w[k * UNITS + u]; });
            const float* of_columns = couplings_.of_columns() + panel.vector;
            for (int u = 0; u < UNITS; ++u)
                field[u * WORDS + v] = sums.product(u, load(of_states + v * LANES), all(of_columns[u])) * unscale[v];
        }
    }

    int64_t units_;
    paired::Packed couplings_;
};

typedef std::conditional_t<ADDS_BESIDE_MULTIPLIES, PairedProduct, PlainProduct> Product;

}  // namespace lanes
