// integrator "alternating" of thermotorch::langevin and its gradient, see alternating.py: units of two colours,
// couplings only between colours; first the units of colour 1, then those of colour 0, each exactly in the field of the
// others.
//
//     y = N(x),  z = decay y + gain (drive - bias - field) + spread xi,  x' = N(z)
//     N(x) = v / sqrt(1 + stiffness v^2) - shift,  v = x + shift
#pragma once

#include "langevin.h"

namespace alternating {

struct Units {
    Shape shape;
    Buffer bias, decay, gain, spread, stiffness, shift;

    explicit Units(const Langevin& p)
        : shape(p.run.units), bias(shape.stride), decay(shape.stride), gain(shape.stride), spread(shape.stride),
          stiffness(shape.stride), shift(shape.stride), colours_(shape.stride) {
        for (int64_t i = 0; i < shape.units; ++i) {
            const double rate = p.mobility[i] * p.dt;
            const double a = p.j4[i] > 0 && rate > 0 ? p.j3[i] / (4.0 * p.j4[i]) : 0.0;
            const double z = 2 * rate * (p.j2[i] - 6 * p.j4[i] * a * a);
            bias.data()[i] = float(p.bias[i] - 4 * p.j4[i] * a * a * a);
            decay.data()[i] = float(std::exp(-z));
            gain.data()[i] = float(rate * (z == 0 ? 1 : -std::expm1(-z) / z));
            const double mean_decay = z == 0 ? 1 : -std::expm1(-2 * z) / (2 * z);
            spread.data()[i] = float(std::sqrt(2 * p.temperature * rate * mean_decay));
            stiffness.data()[i] = float(4 * rate * p.j4[i]);
            shift.data()[i] = float(a);
        }
        for (int c = 0; c < 2; ++c) wanted_[c].resize(shape.vectors);
        for (int64_t i = 0; i < shape.units; ++i) {
            const int32_t second = p.colour[i] ? -1 : 0;
            std::memcpy(colours_.data() + i, &second, 4);
            wanted_[p.colour[i]][i / LANES] = 1;
        }
    }

    // Vectors that hold a unit of colour c.
    const uint8_t* wanted(int c) const { return wanted_[c].data(); }

    // `yes` in lanes of colour c, `no` in others.
    Floats select(int c, int64_t i, Floats yes, Floats no) const {
        const Ints second = (Ints)load(colours_.data() + i), mask = c ? second : ~second;
        return (Floats)((mask & (Ints)yes) | (~mask & (Ints)no));
    }

    Floats relax(Floats x, int64_t i) const {
        const Floats a = load(shift.data() + i), y = x + a;
        return y / root(fma(load(stiffness.data() + i) * y, y, all(1.0f))) - a;
    }

    Floats slope_at_start(Floats x, int64_t i) const {
        const Floats y = x + load(shift.data() + i), inside = fma(load(stiffness.data() + i) * y, y, all(1.0f));
        return 1.0f / (inside * root(inside));
    }

    // The same slope from where the flow ends.
    Floats slope_at_end(Floats x, int64_t i) const {
        const Floats y = x + load(shift.data() + i);
        Floats inside = fma(load(stiffness.data() + i) * -y, y, all(1.0f));
        inside = inside > 0.0f ? inside : Floats{};
        return inside * root(inside);
    }

  private:
    Buffer colours_;  // bits: all ones where colour 1
    std::vector<uint8_t> wanted_[2];
};

// The couplings that act on the units of one colour.
struct Field {
    std::vector<Block> blocks, grad_blocks;
    Product couplings, transposed;

    Field(const Langevin& p, const Shape& shape, int colour, bool backward)
        : blocks(of(p, p.run.blocks, colour)), grad_blocks(of(p, p.run.grad_blocks, colour)),
          couplings(shape, blocks.data(), blocks.size(), false, p.run.precision),
          transposed(shape, blocks.data(), backward ? blocks.size() : 0, true, p.run.precision) {}

  private:
    static std::vector<Block> of(const Langevin& p, const Block* all, int colour) {
        std::vector<Block> found;
        for (int64_t i = 0; all && i < p.run.block_count; ++i)
            if (p.colour[all[i].column] == colour) found.push_back(all[i]);
        return found;
    }
};

struct System {
    Units units;
    Field fields[2];
    System(const Langevin& p, bool backward)
        : units(p), fields{Field(p, units.shape, 0, backward), Field(p, units.shape, 1, backward)} {}
};

// One step of the rows of a chunk, in place.
static void step(const Langevin& p, const System& system, langevin::Push& push, int64_t k, int64_t row, int64_t rows,
                 float* x, float* field) {
    const Units& units = system.units;
    const Shape& shape = units.shape;
    const NoiseStep at(p.run.seed, p.run.stream, uint64_t(p.run.start_step + k));
    push.load_step(k);
    for (int c = 1; c >= 0; --c) {
        const Field& from = system.fields[c];
        const bool coupled = !from.couplings.empty();
        if (coupled) from.couplings(x, rows, field);
        for_normals(shape, p.run.ids + row, rows, at, [&](int64_t r, int64_t i, Floats xi) {
            float* here = x + r * shape.stride + i;
            const Floats old = load(here), pushed = load(push.row(r) + i);
            const Floats force = coupled ? pushed - load(field + r * shape.stride + i) : pushed;
            const Floats rest = load(units.decay.data() + i) * units.relax(old, i);
            const Floats mean = fma(load(units.gain.data() + i), force, rest);
            store(here, units.select(c, i, units.relax(fma(load(units.spread.data() + i), xi, mean), i), old));
        }, units.wanted(c));
    }
}

static void forward(const Langevin& p) {
    const Run& run = p.run;
    const System system(p, false);
    const Shape& shape = system.units.shape;
    for_chunks(run, rows_per_chunk(run, shape, 2), [&](int64_t, int64_t row, int64_t rows) {
        Buffer x(rows * shape.stride), field(rows * shape.stride);
        langevin::Push push(p.drive, shape, system.units.bias.data(), row, rows);
        copy_in(shape, run.state + row * run.units, rows, x.data());
        for (int64_t k = 0; k < run.steps; ++k) {
            step(p, system, push, k, row, rows, x.data(), field.data());
            run.save(shape, k, row, rows, x.data());
        }
        copy_out(shape, x.data(), rows, run.end + row * run.units);
    });
}

// The sums of one thread over its chunks.
struct Gradients {
    ForceSum bias, drive;
    CouplingsSum couplings[2];
};

class Adjoint {
  public:
    Adjoint(const Langevin& p, const System& system, Gradients& gradients, int64_t row, int64_t rows)
        : p_(p), system_(system), shape_(system.units.shape), gradients_(gradients), row_(row), rows_(rows),
          size_(rows * shape_.stride), push_(p.drive, shape_, system.units.bias.data(), row, rows),
          states_((p.run.segment() + 1) * size_), lambda_(size_), force_(size_), field_(size_) {}

    void run() {
        const Run& run = p_.run;
        copy_in(shape_, run.grad_end + row_ * run.units, rows_, lambda_.data());
        for (int64_t k = run.steps, segment = (run.steps - 1) / run.segment(); k > 0; --segment) {
            const int64_t begin = segment * run.segment();
            replay(begin, k);
            while (k > begin) {
                --k;
                if (run.records(k))
                    add_in(shape_, run.grad_recorded + (run.record_index(k) * run.batch + row_) * run.units, rows_,
                           lambda_.data());
                const float* before = states_.data() + (k - begin) * size_;
                back(k, before, before + size_);
            }
        }
        copy_out(shape_, lambda_.data(), rows_, run.grad_state + row_ * run.units);
    }

  private:
    // Fills `states_` with the states before and after steps begin ... end - 1.
    void replay(int64_t begin, int64_t end) {
        const Run& run = p_.run;
        run.load_state(shape_, begin, row_, rows_, states_.data());
        for (int64_t k = begin; k < end; ++k) {
            float* next = states_.data() + (k + 1 - begin) * size_;
            if (k + 1 == end && end < run.steps) {
                run.load_state(shape_, end, row_, rows_, next);
                break;
            }
            std::memcpy(next, next - size_, 4 * size_);
            step(p_, system_, push_, k, row_, rows_, next, field_.data());
        }
    }

    void back(int64_t k, const float* before, const float* after) {
        const Units& units = system_.units;
        for (int c = 0; c < 2; ++c) {
            // Colour 0 moved last, in the field of the new states of colour 1; colour 1 in that of the old ones of 0.
            const float* seen = c == 0 ? after : before;
            for (int64_t r = 0; r < rows_; ++r)
                for (int64_t i = 0; i < shape_.vectors * LANES; i += LANES) {
                    if (!units.wanted(c)[i / LANES]) continue;
                    const int64_t at = r * shape_.stride + i;
                    const Floats lambda = load(lambda_.data() + at);
                    const Floats g = lambda * units.slope_at_end(load(after + at), i);
                    const Floats old = g * load(units.decay.data() + i) * units.slope_at_start(load(before + at), i);
                    store(lambda_.data() + at, units.select(c, i, old, lambda));
                    store(force_.data() + at,
                          units.select(c, i, g * load(units.gain.data() + i), load(force_.data() + at)));
                }
            const Field& field = system_.fields[c];
            if (field.couplings.empty()) continue;
            field.transposed(force_.data(), rows_, field_.data());
            for (int64_t at = 0; at < size_; at += LANES)
                store(lambda_.data() + at, load(lambda_.data() + at) - load(field_.data() + at));
            gradients_.couplings[c].add(seen, force_.data(), rows_);
        }
        gradients_.bias.add(0, row_, rows_, force_.data());
        gradients_.drive.add(k, row_, rows_, force_.data());
    }

    const Langevin& p_;
    const System& system_;
    const Shape& shape_;
    Gradients& gradients_;
    int64_t row_, rows_, size_;
    langevin::Push push_;
    Buffer states_, lambda_, force_, field_;
};

static void backward(const Langevin& p) {
    const Run& run = p.run;
    const System system(p, true);
    const Shape& shape = system.units.shape;
    std::vector<Gradients> gradients;
    for (int64_t thread = 0; thread < run.threads; ++thread)
        gradients.push_back({ForceSum(shape, p.grad_bias, 1, 1),
                             ForceSum(shape, p.grad_drive, p.drive.steps, p.drive.rows),
                             {CouplingsSum(shape, system.fields[0].couplings.couplings(), run.grad_blocks),
                              CouplingsSum(shape, system.fields[1].couplings.couplings(), run.grad_blocks)}});
    for_chunks(run, rows_per_chunk(run, shape, 6), [&](int64_t thread, int64_t row, int64_t rows) {
        Adjoint(p, system, gradients[thread], row, rows).run();
    });
    for (int c = 0; c < 2; ++c) {
        const std::vector<Block>& blocks = system.fields[c].grad_blocks;
        const Couplings target(shape, blocks.data(), blocks.size(), false);
        for (Gradients& part : gradients) part.couplings[c].finish(target, -1.0f);
    }
    for (Gradients& part : gradients) {
        part.bias.finish(-1.0f);
        part.drive.finish();
    }
}

}  // namespace alternating
