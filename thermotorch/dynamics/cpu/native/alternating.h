// integrator "alternating" of thermotorch::langevin and its gradient; its steps are in colours.h.
#pragma once

#include "colours.h"

namespace alternating {

static void forward(const Langevin& p) {
    const Run& run = p.run;
    const System system(p, false);
    const Shape& shape = system.units.shape;
    for_chunks(run, rows_per_chunk(run, shape, 2), [&](int64_t, int64_t row, int64_t rows) {
        Buffer x(rows * shape.stride);
        Stepper stepper(p, system, row, rows);
        copy_in(shape, run.state + row * run.units, rows, x.data());
        stepper.start(x.data());
        for (int64_t k = 0; k < run.steps; ++k) {
            stepper.step(k, x.data());
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
          size_(rows * shape_.stride), stepper_(p, system, row, rows),
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
        stepper_.start(states_.data());
        for (int64_t k = begin; k < end; ++k) {
            float* next = states_.data() + (k + 1 - begin) * size_;
            if (k + 1 == end && end < run.steps) {
                run.load_state(shape_, end, row_, rows_, next);
                break;
            }
            std::memcpy(next, next - size_, 4 * size_);
            stepper_.step(k, next);
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
    Stepper stepper_;
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
