// Euler-Maruyama of a few units for many samples, which lie in the lanes of the vectors: states are [unit, sample].
//
// No vector is filled up with units that do not exist, a step goes from the field to the new state in registers, and
// kept states are written and read where they lie. A sample's numbers are those of langevin.h to the bit, so that a
// batch may go partly through here and partly through there.
#pragma once

#include "langevin.h"
#include "lanes_product.h"

namespace lanes {

constexpr int64_t MOST_UNITS = 256;  // more fill the vectors well enough, and their states leave the first-level cache
constexpr int64_t FEWEST_SAMPLES = 64;  // in a batch, on every processor
constexpr int OUTER_UNITS = LANES == 8 ? 3 : 5;  // squared, accumulators of the outer product

// True if a run uses lanes, as far as its chunks allow. Few chunks for many threads would leave some idle.
static inline bool suit(const Langevin& p) {
    const Run& run = p.run;
    const int64_t chunks = (run.batch + SAMPLES - 1) / SAMPLES, share = (run.batch + run.threads - 1) / run.threads;
    const int64_t busiest = std::min((chunks + run.threads - 1) / run.threads * SAMPLES, run.batch);
    const bool exact = run.precision != BF16 && !::Product::on_tiles(run.precision);
    return p.integrator == EULER_MARUYAMA && exact && run.units <= MOST_UNITS && run.keep <= 1 && p.drive.steps <= 1 &&
           run.batch >= FEWEST_SAMPLES && 8 * busiest <= 9 * share;
}

// True if the samples of a chunk share Philox blocks.
static inline bool suit(const int64_t* ids, int64_t rows) {
    if (rows != SAMPLES) return false;
    for (int64_t s = 0; s < SAMPLES; ++s)
        if (ids[s] != ids[s / WORDS * WORDS] + s % WORDS || ids[s / WORDS * WORDS] % WORDS) return false;
    return true;
}

// The gradient needs to know how the states were kept: the last of the numbers that are free says so.
static inline float* mark(const Run& run) {
    return run.num_kept() ? run.kept + run.batch * run.num_kept() * run.kept_width() - 1 : nullptr;
}

// Sample s lies in the vector of its word, in the lane of its block.
static inline int64_t place(int64_t s) { return s % WORDS * LANES + s / WORDS; }

static inline void to_lanes(const float* rows, int64_t units, float* x) {
    for (int64_t s = 0; s < SAMPLES; ++s)
        for (int64_t i = 0; i < units; ++i) x[i * SAMPLES + place(s)] = rows[s * units + i];
}

static inline void from_lanes(const float* x, int64_t units, float* rows, int64_t stride) {
    for (int64_t s = 0; s < SAMPLES; ++s)
        for (int64_t i = 0; i < units; ++i) rows[s * stride + i] = x[i * SAMPLES + place(s)];
}

static inline langevin::OnSite on_site(const langevin::Units& units, int64_t i) {
    return {all(units.linear.data()[i]), all(units.quadratic.data()[i]), all(units.cubic.data()[i])};
}

// One chunk from its first state to its last.
static void forward(const Langevin& p, const langevin::Units& units, const Product& couplings, int64_t row) {
    const Run& run = p.run;
    const int64_t n = run.units, size = n * SAMPLES;
    Buffer state(size), other(size), push(size);
    for (int64_t s = 0; s < SAMPLES; ++s) {
        const float* drive = p.drive.data ? p.drive.at(0, row + s, n) : nullptr;
        for (int64_t i = 0; i < n; ++i)
            push.data()[i * SAMPLES + place(s)] = (drive ? drive[i] : 0.0f) - units.bias.data()[i];
    }
    Words groups;
    for (int g = 0; g < LANES; ++g) groups[g] = uint32_t(run.ids[row + g * WORDS] / WORDS);

    to_lanes(run.state + row * n, n, state.data());
    const float* x = state.data();
    for (int64_t k = 0; k < run.steps; ++k) {
        const NoiseStep at(run.seed, run.stream, uint64_t(run.start_step + k));
        float* next = x == state.data() ? other.data() : state.data();
        if (run.keeps(k)) {
            next = run.kept_after(0, row) + k * SAMPLES * run.kept_width();
            std::fill(next + size, next + SAMPLES * run.kept_width(), 0.0f);
        }
        couplings(x, [&](int64_t i, const Floats* field) {
            Words words[WORDS];
            Floats xi[WORDS];
            philox_of_groups(uint32_t(i), groups, at, words);
            box_muller(words[0], words[1], xi[0], xi[1]);
            box_muller(words[2], words[3], xi[2], xi[3]);
            const langevin::OnSite unit = on_site(units, i);
            const Floats rate = all(units.rate.data()[i]), kick = all(units.kick.data()[i]);
            for (int v = 0; v < WORDS; ++v) {
                const int64_t here = i * SAMPLES + v * LANES;
                const Floats old = load(x + here);
                const Floats moved = fma(rate, unit.force(old, field[v], load(push.data() + here)), old);
                store(next + here, fma(kick, xi[v], moved));
            }
        });
        x = next;
        if (run.records(k)) from_lanes(x, n, run.recorded + (run.record_index(k) * run.batch + row) * n, n);
    }
    from_lanes(x, n, run.end + row * n, n);
}

static void outer_tile(const float* const* x, const float* const* a, int64_t count, const int64_t* rows,
                       const int64_t* columns, Floats* out) {
    Floats sum[OUTER_UNITS][OUTER_UNITS] = {};
    for (int64_t t = 0; t < count; ++t)
        for (int64_t v = 0; v < SAMPLES; v += LANES) {
            Floats right[OUTER_UNITS];
            for (int c = 0; c < OUTER_UNITS; ++c) right[c] = load(a[t] + columns[c] + v);
            for (int r = 0; r < OUTER_UNITS; ++r) {
                const Floats left = load(x[t] + rows[r] + v);
                for (int c = 0; c < OUTER_UNITS; ++c) sum[r][c] = fma(left, right[c], sum[r][c]);
            }
        }
    for (int r = 0; r < OUTER_UNITS; ++r)
        for (int c = 0; c < OUTER_UNITS; ++c) out[r * OUTER_UNITS + c] = sum[r][c];
}

// One thread's share of the gradient by couplings, [unit, unit]: the sum of x_i a_j over samples and steps.
class Outer {
  public:
    Outer(const Run& run) : units_(run.units), sum_(run.grad_blocks ? units_ * units_ : 0) {
        for (int64_t i = 0; sum_.size() && i < units_; i += OUTER_UNITS)
            for (int64_t j = 0; j < units_; j += OUTER_UNITS)
                for (int64_t b = 0; b < run.block_count; ++b) {
                    const Block& block = run.blocks[b];
                    if (i >= block.row + block.rows || i + OUTER_UNITS <= block.row) continue;
                    if (j >= block.column + block.columns || j + OUTER_UNITS <= block.column) continue;
                    tiles_.push_back({i, j});
                    break;
                }
    }

    void add(const float* const* x, const float* const* a, int64_t count) {
        for (const Tile& tile : tiles_) add_tile(tile.row, tile.column, x, a, count);
    }

    void subtract_from(const Block* blocks, int64_t count) const {
        for (const Block* b = blocks; sum_.size() && b < blocks + count; ++b)
            for (int64_t i = 0; i < b->rows; ++i)
                for (int64_t j = 0; j < b->columns; ++j)
                    b->data[i * b->row_stride + j * b->column_stride] -=
                        sum_.data()[(b->row + i) * units_ + b->column + j];
    }

  private:
    struct Tile {
        int64_t row, column;
    };

    // Units beyond the last are the last once more, and are left out at the end.
    void add_tile(int64_t row, int64_t column, const float* const* x, const float* const* a, int64_t count) {
        int64_t rows[OUTER_UNITS], columns[OUTER_UNITS];
        for (int u = 0; u < OUTER_UNITS; ++u) {
            rows[u] = std::min(row + u, units_ - 1) * SAMPLES;
            columns[u] = std::min(column + u, units_ - 1) * SAMPLES;
        }
        Floats sum[OUTER_UNITS * OUTER_UNITS];
        outer_tile(x, a, count, rows, columns, sum);
        for (int r = 0; r < OUTER_UNITS && row + r < units_; ++r)
            for (int c = 0; c < OUTER_UNITS && column + c < units_; ++c)
                sum_.data()[(row + r) * units_ + column + c] += total(sum[r * OUTER_UNITS + c]);
    }

    int64_t units_;
    Buffer sum_;
    std::vector<Tile> tiles_;
};

// Backwards through one chunk whose states were all kept.
static void backward(const Langevin& p, const langevin::Units& units, const Product& transposed, int64_t row,
                     langevin::Gradients& gradients, Outer& outer) {
    constexpr int64_t HISTORY = 16;  // steps to an outer product: a tile's states stay in the first-level cache
    const Run& run = p.run;
    const int64_t n = run.units, size = n * SAMPLES, pitch = run.kept_width() * SAMPLES;
    Buffer first(size), lambda(size), sum(size), recorded(run.record ? size : 0), history(HISTORY * pitch);
    const float *states[HISTORY], *forces[HISTORY];
    int64_t held = 0;
    to_lanes(run.state + row * n, n, first.data());
    to_lanes(run.grad_end + row * n, n, lambda.data());
    for (int64_t k = run.steps - 1; k >= 0; --k) {
        if (run.records(k)) {
            to_lanes(run.grad_recorded + (run.record_index(k) * run.batch + row) * n, n, recorded.data());
            for (int64_t at = 0; at < size; at += LANES)
                store(lambda.data() + at, load(lambda.data() + at) + load(recorded.data() + at));
        }
        const float* x = k ? run.kept_after(0, row) + (k - 1) * pitch : first.data();
        float* force = history.data() + held * pitch;
        for (int64_t at = 0; at < size; at += LANES)
            store(force + at, all(units.rate.data()[at / SAMPLES]) * load(lambda.data() + at));
        const float* before = k > 1 ? x - pitch : x;
        transposed(force, [&](int64_t i, const Floats* field) {
            const langevin::OnSite unit = on_site(units, i);
            for (int v = 0; v < WORDS; ++v) {
                const int64_t here = i * SAMPLES + v * LANES;
                __builtin_prefetch(before + here);
                const Floats a = load(force + here);
                const Floats slope = unit.curvature(load(x + here));
                store(lambda.data() + here, fma(-slope, a, load(lambda.data() + here)) - field[v]);
                store(sum.data() + here, load(sum.data() + here) + a);
            }
        });
        states[held] = x;
        forces[held] = force;
        if (++held == HISTORY || k == 0) {
            outer.add(states, forces, held);
            held = 0;
        }
    }
    from_lanes(lambda.data(), n, run.grad_state + row * n, n);
    Buffer rows(SAMPLES * units.shape.stride);
    from_lanes(sum.data(), n, rows.data(), units.shape.stride);
    gradients.bias.add(0, row, SAMPLES, rows.data());
    if (p.drive.steps == 1) gradients.drive.add(0, row, SAMPLES, rows.data());
}

}  // namespace lanes
