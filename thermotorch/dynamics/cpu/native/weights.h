// thermotorch::path_weights: the steps of langevin.h and alternating.h, bit for bit, and beside them each trajectory's
// work and path weights (path_weights.py).
//
// The force at the end of a step, which its reverse starts from, is the one that the next step needs anyway.
#pragma once

#include "alternating.h"

struct PathWeights {
    Langevin langevin;
    double* sums;  // [batch, 3]: work of the drive, log forward weight without the constants, log ratio
};

namespace weights {

enum Sum { WORK, FORWARD, RATIO };

// Sums of a chunk's rows: float32 lanes over the units of a step, or of a few steps of a small machine, then float64.
class Sums {
  public:
    Sums(const Shape& shape, int64_t rows)
        : rows_(rows), steps_(std::max<int64_t>(1, 64 / shape.vectors)), lanes_(3 * rows * LANES), totals_(3 * rows) {}

    void add(Sum what, int64_t row, Floats x) {
        float* here = lanes_.data() + (3 * row + what) * LANES;
        store(here, load(here) + x);
    }

    void end_step() {
        if (++held_ == steps_) flush();
    }

    void flush() {
        held_ = 0;
        for (int64_t at = 0; at < 3 * rows_; ++at)
            for (int lane = 0; lane < LANES; ++lane) totals_[at] += lanes_.data()[at * LANES + lane];
        std::memset(lanes_.data(), 0, 4 * lanes_.size());
    }

    double& total(Sum what, int64_t row) { return totals_[3 * row + what]; }

    void save(double* to) {
        flush();
        std::memcpy(to, totals_.data(), 8 * totals_.size());
    }

  private:
    int64_t rows_, steps_, held_ = 0;
    Buffer lanes_;
    std::vector<double> totals_;
};

// `value(i)` for every unit, padded.
template <class Value>
static Buffer per_unit(const Shape& shape, Value&& value) {
    Buffer to(shape.stride);
    for (int64_t i = 0; i < shape.units; ++i) to.data()[i] = value(i);
    return to;
}

// log ratio of a step: (f + f') dx / (2 kT) + rate (f'^2 - f^2) / (4 kT), f and f' the forces at its start and its end.
static void euler_maruyama(const PathWeights& p) {
    const Langevin& l = p.langevin;
    const Run& run = l.run;
    const langevin::Units units(l);
    const Shape& shape = units.shape;
    const Product couplings(shape, run.blocks, run.block_count, false, run.precision);
    const Buffer half = per_unit(shape, [&](int64_t i) { return l.mobility[i] > 0 ? 0.5f : 0.0f; });
    const float scale = float(0.25 / l.temperature);
    for_chunks(run, rows_per_chunk(run, shape, 4), [&](int64_t, int64_t row, int64_t rows) {
        const int64_t size = rows * shape.stride;
        Buffer x(size), field(size), force(size), moved(size);
        Sums sums(shape, rows);
        langevin::Push push(l.drive, shape, units.bias.data(), row, rows);
        copy_in(shape, run.state + row * run.units, rows, x.data());
        for (int64_t k = 0;; ++k) {
            if (!couplings.empty()) couplings(x.data(), rows, field.data());
            if (k > 0) {
                for (int64_t r = 0; r < rows; ++r)
                    for (int64_t i = 0; i < shape.vectors * LANES; i += LANES) {
                        const int64_t at = r * shape.stride + i;
                        const Floats before = load(force.data() + at), dx = load(moved.data() + at);
                        const Floats after = units.force(load(x.data() + at), load(field.data() + at), push.row(r), i);
                        const Floats turned = fma(load(units.rate.data() + i), after - before, 2.0f * dx);
                        sums.add(RATIO, r, (after + before) * turned * scale);
                        sums.add(WORK, r, (load(push.row(r) + i) + load(units.bias.data() + i)) * dx);
                    }
                sums.end_step();
            }
            if (k == run.steps) break;
            push.load_step(k);
            const NoiseStep at_step(run.seed, run.stream, uint64_t(run.start_step + k));
            for_normals(shape, run.ids + row, rows, at_step, [&](int64_t r, int64_t i, Floats xi) {
                const int64_t at = r * shape.stride + i;
                const Floats old = load(x.data() + at), f = units.force(old, load(field.data() + at), push.row(r), i);
                const Floats next = fma(load(units.kick.data() + i), xi, fma(load(units.rate.data() + i), f, old));
                store(x.data() + at, next);
                store(moved.data() + at, next - old);
                store(force.data() + at, f);
                sums.add(FORWARD, r, load(half.data() + i) * -xi * xi);
            });
            run.save(shape, k, row, rows, x.data());
        }
        copy_out(shape, x.data(), rows, run.end + row * run.units);
        sums.save(p.sums + 3 * row);
    });
}

// ln of the slope of N(h/2) where it leads to x; NaN at a state that it does not lead to.
static double log_slope(const alternating::Units& units, float x, int64_t i) {
    const double y = double(x) + units.shift.data()[i];
    return 1.5 * std::log(1.0 - units.stiffness.data()[i] * y * y);
}

// One colour after the other in the field of the other, z -> z' in either direction, with x = N(z):
//     forth = z' - decay N(x) - gain F = spread xi,   back = z - decay N(x') - gain F
static void alternating_colours(const PathWeights& p) {
    const Langevin& l = p.langevin;
    const Run& run = l.run;
    const alternating::System system(l, false);
    const alternating::Units& units = system.units;
    const Shape& shape = units.shape;
    const Buffer half = per_unit(shape, [&](int64_t i) { return l.mobility[i] > 0 ? 0.5f : 0.0f; });
    const Buffer inverse = per_unit(shape, [&](int64_t i) {
        const double spread = units.spread.data()[i];
        return spread > 0 ? float(0.5 / (spread * spread)) : 0.0f;
    });
    for_chunks(run, rows_per_chunk(run, shape, 3), [&](int64_t, int64_t row, int64_t rows) {
        const int64_t size = rows * shape.stride;
        Buffer x(size), field(size), z(size);
        Sums sums(shape, rows);
        langevin::Push push(l.drive, shape, units.bias.data(), row, rows);
        copy_in(shape, run.state + row * run.units, rows, x.data());
        for (int64_t r = 0; r < rows; ++r)
            for (int64_t i = 0; i < shape.units; ++i) {
                const float here = x.data()[r * shape.stride + i], a = units.shift.data()[i], y = here + a;
                z.data()[r * shape.stride + i] = y / std::sqrt(1.0f - units.stiffness.data()[i] * y * y) - a;
                sums.total(RATIO, r) += log_slope(units, here, i);
            }
        for (int64_t k = 0; k < run.steps; ++k) {
            push.load_step(k);
            const NoiseStep at_step(run.seed, run.stream, uint64_t(run.start_step + k), units.quick);
            for (int c = 1; c >= 0; --c) {
                const bool coupled = !system.fields[c].couplings.empty();
                if (coupled) system.fields[c].couplings(x.data(), rows, field.data());
                for_normals(shape, run.ids + row, rows, at_step, [&](int64_t r, int64_t i, Floats xi) {
                    const int64_t at = r * shape.stride + i;
                    const Floats old = load(x.data() + at), pushed = load(push.row(r) + i), from = load(z.data() + at);
                    const Floats force = coupled ? pushed - load(field.data() + at) : pushed;
                    const Floats gain = load(units.gain.data() + i), decay = load(units.decay.data() + i);
                    const Floats mean = fma(gain, force, decay * units.relax(old, i));
                    const Floats to = fma(load(units.spread.data() + i), xi, mean), next = units.relax(to, i);
                    store(x.data() + at, units.select(c, i, next, old));
                    store(z.data() + at, units.select(c, i, to, from));
                    const Floats forth = to - mean, back = from - fma(gain, force, decay * units.relax(next, i));
                    const Floats v = to + load(units.shift.data() + i);
                    const Floats slope = logarithm(1.0f / fma(load(units.stiffness.data() + i) * v, v, all(1.0f)));
                    const Floats weight = fma(xi, xi, 3.0f * slope) * -load(half.data() + i);
                    const Floats ratio = (back - forth) * (back + forth) * load(inverse.data() + i);
                    const Floats work = (pushed + load(units.bias.data() + i)) * (next - old), none = {};
                    sums.add(FORWARD, r, units.select(c, i, weight, none));
                    sums.add(RATIO, r, units.select(c, i, ratio, none));
                    sums.add(WORK, r, units.select(c, i, work, none));
                }, units.wanted(c));
            }
            sums.end_step();
            run.save(shape, k, row, rows, x.data());
        }
        sums.flush();
        for (int64_t r = 0; r < rows; ++r) {
            for (int64_t i = 0; i < shape.units; ++i)
                sums.total(RATIO, r) -= log_slope(units, x.data()[r * shape.stride + i], i);
            double& ratio = sums.total(RATIO, r);
            if (std::isnan(ratio)) ratio = HUGE_VAL;  // the start cannot be reached, so nothing leads back to it
        }
        copy_out(shape, x.data(), rows, run.end + row * run.units);
        sums.save(p.sums + 3 * row);
    });
}

static void forward(const PathWeights& p) {
    p.langevin.integrator == ALTERNATING ? alternating_colours(p) : euler_maruyama(p);
}

}  // namespace weights
