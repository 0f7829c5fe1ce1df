// thermotorch::splitting and its gradient: C(h/2) N(h/2) O(h) N(h/2) C(h/2), see splitting.py.
//
// Inside a call the two C halves between steps are one product, so what is carried from step to step is u = C(h/2) x:
//     z = decay N(u) + spread xi,   y = N(z),   x = y + y half + half_push,   next u = y + y whole + whole_push
#pragma once

#include "run.h"

struct Splitting {
    Run run;  // its blocks: none, or `whole` and `half`
    const float *decay, *spread, *stiffness, *shift;
    Force whole_push, half_push;
    float *grad_whole_push, *grad_half_push;
};

namespace splitting {

// One of the two linear maps y + y matrix + push, with its transpose for gradients.
struct Kick {
    Product couplings, transposed;
    Force push;

    Kick(const Shape& shape, const Run& run, int64_t which, const Force& push, bool backward)
        : couplings(shape, run.blocks + which, run.block_count ? 1 : 0, false, run.precision),
          transposed(shape, run.blocks + which, backward && run.block_count ? 1 : 0, true, run.precision), push(push) {}

    // to = y + y matrix + push of step k; `to` is not `y`.
    void operator()(const Shape& shape, int64_t k, const float* y, int64_t row, int64_t rows, float* to) const {
        if (!couplings.empty()) couplings(y, rows, to);
        for (int64_t r = 0; r < rows; ++r) {
            const float* q = push.at(k, row + r, shape.units);
            const float* from = y + r * shape.stride;
            float* here = to + r * shape.stride;
            if (couplings.empty()) std::memset(here, 0, 4 * shape.stride);
            for (int64_t i = 0; i < shape.units; ++i) here[i] = (from[i] + here[i]) + q[i];
        }
    }

    // to += a + a matrix^T; `field` is room for one more.
    void adjoint(const Shape& shape, const float* a, int64_t rows, float* to, float* field) const {
        if (!transposed.empty()) transposed(a, rows, field);
        for (int64_t at = 0; at < rows * shape.stride; at += LANES)
            store(to + at, load(to + at) + load(a + at) + load(field + at));
    }
};

struct Flows {
    Shape shape;
    Buffer decay, spread, stiffness, shift;
    Kick whole, half;

    Flows(const Splitting& p, bool backward)
        : shape(p.run.units), decay(padded(shape, p.decay)), spread(padded(shape, p.spread)),
          stiffness(padded(shape, p.stiffness)), shift(padded(shape, p.shift)),
          whole(shape, p.run, 0, p.whole_push, backward), half(shape, p.run, 1, p.half_push, backward) {}

    // N: the quartic flow for half a step.
    Floats relax(Floats x, int64_t i) const {
        const Floats a = load(shift.data() + i), y = x + a;
        return y / root(fma(load(stiffness.data() + i) * y, y, all(1.0f))) - a;
    }

    Floats relax_slope(Floats x, int64_t i) const {
        const Floats y = x + load(shift.data() + i);
        const Floats inside = fma(load(stiffness.data() + i) * y, y, all(1.0f));
        return 1.0f / (inside * root(inside));
    }

    Floats diffuse(Floats x, Floats xi, int64_t i) const {
        return fma(load(spread.data() + i), xi, load(decay.data() + i) * x);
    }
};

// Calls body(row, unit, z) with z = O N u for the step k of a chunk.
template <class Body>
static void middles(const Splitting& p, const Flows& flows, int64_t k, const float* u, int64_t row, int64_t rows,
                    Body&& body) {
    const NoiseStep at(p.run.seed, p.run.stream, uint64_t(p.run.start_step + k));
    for_normals(flows.shape, p.run.ids + row, rows, at, [&](int64_t r, int64_t i, Floats xi) {
        body(r, i, flows.diffuse(flows.relax(load(u + r * flows.shape.stride + i), i), xi, i));
    });
}

static void forward(const Splitting& p) {
    const Run& run = p.run;
    const Flows flows(p, false);
    const Shape& shape = flows.shape;
    for_chunks(run, rows_per_chunk(run, shape, 2), [&](int64_t, int64_t row, int64_t rows) {
        Buffer u(rows * shape.stride), y(rows * shape.stride), x(run.record ? rows * shape.stride : 0);
        copy_in(shape, run.state + row * run.units, rows, y.data());
        if (run.steps == 0) std::swap(u, y);
        for (int64_t k = 0; k < run.steps; ++k) {
            if (k == 0) flows.half(shape, 0, y.data(), row, rows, u.data());
            middles(p, flows, k, u.data(), row, rows, [&](int64_t r, int64_t i, Floats z) {
                store(y.data() + r * shape.stride + i, flows.relax(z, i));
            });
            if (run.records(k)) {
                flows.half(shape, k, y.data(), row, rows, x.data());
                copy_out(shape, x.data(), rows, run.recorded + (run.record_index(k) * run.batch + row) * run.units);
            }
            (k + 1 < run.steps ? flows.whole : flows.half)(shape, k, y.data(), row, rows, u.data());
            run.keep_state(shape, k, row, rows, u.data());
        }
        copy_out(shape, u.data(), rows, run.end + row * run.units);
    });
}

// The sums of one thread over its chunks.
struct Gradients {
    ForceSum whole_push, half_push;
    CouplingsSum whole, half;
};

class Adjoint {
  public:
    Adjoint(const Splitting& p, const Flows& flows, Gradients& gradients, int64_t row, int64_t rows)
        : p_(p), flows_(flows), shape_(flows.shape), gradients_(gradients), row_(row), rows_(rows),
          size_(rows * shape_.stride), states_(p.run.segment() * size_), lambda_(size_), of_y_(size_), field_(size_),
          y_(size_), z_(size_) {}

    void run() {
        const Run& run = p_.run;
        if (run.steps == 0) {
            std::memcpy(run.grad_state + row_ * run.units, run.grad_end + row_ * run.units, 4 * rows_ * run.units);
            return;
        }
        Buffer of_x(size_);
        for (int64_t k = run.steps, segment = (run.steps - 1) / run.segment(); k > 0; --segment) {
            const int64_t begin = segment * run.segment();
            replay(begin, k);
            while (k > begin) {
                --k;
                const float* u = states_.data() + (k - begin) * size_;
                middle(k, u);
                std::memset(of_y_.data(), 0, 4 * size_);
                if (k + 1 < run.steps)
                    through(flows_.whole, gradients_.whole, gradients_.whole_push, k, lambda_.data());
                const bool last = k + 1 == run.steps;
                if (last || run.records(k)) {
                    std::memset(of_x.data(), 0, 4 * size_);
                    if (last) copy_in(shape_, run.grad_end + row_ * run.units, rows_, of_x.data());
                    if (run.records(k))
                        add_in(shape_, run.grad_recorded + (run.record_index(k) * run.batch + row_) * run.units, rows_,
                               of_x.data());
                    through(flows_.half, gradients_.half, gradients_.half_push, k, of_x.data());
                }
                for (int64_t r = 0; r < rows_; ++r)
                    for (int64_t i = 0; i < shape_.vectors * LANES; i += LANES) {
                        const int64_t at = r * shape_.stride + i;
                        const Floats of_z = load(of_y_.data() + at) * flows_.relax_slope(load(z_.data() + at), i);
                        store(lambda_.data() + at,
                              of_z * load(flows_.decay.data() + i) * flows_.relax_slope(load(u + at), i));
                    }
            }
        }
        // u = x + x half + half_push at the start
        copy_in(shape_, run.state + row_ * run.units, rows_, y_.data());
        std::memset(of_y_.data(), 0, 4 * size_);
        through(flows_.half, gradients_.half, gradients_.half_push, 0, lambda_.data());
        copy_out(shape_, of_y_.data(), rows_, run.grad_state + row_ * run.units);
    }

  private:
    // z_ and y_ of step k.
    void middle(int64_t k, const float* u) {
        middles(p_, flows_, k, u, row_, rows_, [&](int64_t r, int64_t i, Floats z) {
            store(z_.data() + r * shape_.stride + i, z);
            store(y_.data() + r * shape_.stride + i, flows_.relax(z, i));
        });
    }

    // Fills `states_` with u at the start of steps begin ... end - 1.
    void replay(int64_t begin, int64_t end) {
        const Run& run = p_.run;
        if (begin) {
            run.load_state(shape_, begin, row_, rows_, states_.data());
        } else {
            copy_in(shape_, run.state + row_ * run.units, rows_, y_.data());
            flows_.half(shape_, 0, y_.data(), row_, rows_, states_.data());
        }
        for (int64_t k = begin; k + 1 < end; ++k) {
            middle(k, states_.data() + (k - begin) * size_);
            flows_.whole(shape_, k, y_.data(), row_, rows_, states_.data() + (k + 1 - begin) * size_);
        }
    }

    // Back through kick(y_) of step k: adds to `of_y_` and to the gradients of the kick.
    void through(const Kick& kick, CouplingsSum& matrix, ForceSum& push, int64_t k, const float* a) {
        kick.adjoint(shape_, a, rows_, of_y_.data(), field_.data());
        matrix.add(y_.data(), a, rows_);
        push.add(k, row_, rows_, a);
    }

    const Splitting& p_;
    const Flows& flows_;
    const Shape& shape_;
    Gradients& gradients_;
    int64_t row_, rows_, size_;
    Buffer states_, lambda_, of_y_, field_, y_, z_;
};

static void backward(const Splitting& p) {
    const Run& run = p.run;
    const Flows flows(p, true);
    const Shape& shape = flows.shape;
    std::vector<Gradients> gradients;
    for (int64_t thread = 0; thread < run.threads; ++thread)
        gradients.push_back({ForceSum(shape, p.grad_whole_push, p.whole_push.steps, p.whole_push.rows),
                             ForceSum(shape, p.grad_half_push, p.half_push.steps, p.half_push.rows),
                             CouplingsSum(shape, flows.whole.couplings.couplings(), run.grad_blocks),
                             CouplingsSum(shape, flows.half.couplings.couplings(), run.grad_blocks)});
    for_chunks(run, rows_per_chunk(run, shape, 6), [&](int64_t thread, int64_t row, int64_t rows) {
        Adjoint(p, flows, gradients[thread], row, rows).run();
    });
    const int64_t count = run.grad_blocks ? 1 : 0;
    const Couplings of_whole(shape, run.grad_blocks, count, false);
    const Couplings of_half(shape, run.grad_blocks + count, count, false);
    for (Gradients& part : gradients) {
        part.whole_push.finish();
        part.half_push.finish();
        part.whole.finish(of_whole);
        part.half.finish(of_half);
    }
}

}  // namespace splitting
