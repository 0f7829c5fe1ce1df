// thermotorch::langevin and its gradient: Euler-Maruyama, Heun, Leimkuhler-Matthews (integrators.py).
// The fourth, which alternates between two colours of units, is in alternating.h.
#pragma once

#include "run.h"

enum Integrator : int64_t { EULER_MARUYAMA, HEUN, LEIMKUHLER_MATTHEWS, ALTERNATING };
static const char* const INTEGRATORS[] = {"euler_maruyama", "heun", "leimkuhler_matthews", "alternating"};

struct Langevin {
    Run run;
    int64_t integrator;
    double dt, temperature;
    const float *bias, *j2, *j3, *j4, *mobility;
    Force drive;
    float *grad_bias, *grad_drive;
    const uint8_t* colour;  // of each unit, 0 or 1, for ALTERNATING
};

namespace langevin {

// 2 j2, 3 j3, 4 j4 of LANES units, or of one unit in all lanes.
struct OnSite {
    Floats linear, quadratic, cubic;

    // On-site and constant force minus field at x, all without mobility.
    Floats force(Floats x, Floats field, Floats push) const {
        return fma(-fma(fma(cubic, x, quadratic), x, linear), x, push) - field;
    }

    Floats curvature(Floats x) const { return fma(fma(cubic * 3.0f, x, quadratic * 2.0f), x, linear); }
};

// Per-unit numbers of a step, padded.
struct Units {
    Shape shape;
    Buffer bias, linear, quadratic, cubic, rate, kick;  // rate: mobility x dt

    explicit Units(const Langevin& p)
        : shape(p.run.units), bias(padded(shape, p.bias)), linear(padded(shape, p.j2)), quadratic(padded(shape, p.j3)),
          cubic(padded(shape, p.j4)), rate(padded(shape, p.mobility)), kick(shape.stride) {
        for (int64_t i = 0; i < shape.units; ++i) {
            kick.data()[i] = float(std::sqrt(2.0 * p.mobility[i] * p.temperature * p.dt));
            rate.data()[i] = float(p.mobility[i] * p.dt);
            linear.data()[i] *= 2;
            quadratic.data()[i] *= 3;
            cubic.data()[i] *= 4;
        }
    }

    Floats force(Floats x, Floats field, const float* push, int64_t i) const {
        return OnSite{load(linear.data() + i), load(quadratic.data() + i), load(cubic.data() + i)}
            .force(x, field, load(push + i));
    }

    Floats curvature(Floats x, int64_t i) const {
        return OnSite{load(linear.data() + i), load(quadratic.data() + i), load(cubic.data() + i)}.curvature(x);
    }
};

// The part of the force that does not depend on the state, drive - bias, for the rows of a chunk.
class Push {
  public:
    Push(const Force& drive, const Shape& shape, const float* bias, int64_t row, int64_t rows)
        : drive_(drive), shape_(shape), bias_(bias), row_(row), rows_(drive.data && drive.rows > 1 ? rows : 1),
          loaded_(-1), data_(rows_ * shape.stride) {}

    void load_step(int64_t step) {
        const int64_t wanted = drive_.data && drive_.steps > 1 ? step : 0;
        if (wanted == loaded_) return;
        loaded_ = wanted;
        for (int64_t r = 0; r < rows_; ++r) {
            float* to = data_.data() + r * shape_.stride;
            const float* drive = drive_.data ? drive_.at(step, row_ + r, shape_.units) : nullptr;
            for (int64_t i = 0; i < shape_.units; ++i) to[i] = (drive ? drive[i] : 0.0f) - bias_[i];
        }
    }

    const float* row(int64_t r) const { return data_.data() + (rows_ > 1 ? r * shape_.stride : 0); }

  private:
    Force drive_;
    Shape shape_;
    const float* bias_;
    int64_t row_, rows_, loaded_;
    Buffer data_;
};

// Steps for the rows of one chunk, with room for what they need in between.
class Stepper {
  public:
    Stepper(const Langevin& p, const Units& units, const Product& couplings, int64_t row, int64_t rows)
        : p_(p), units_(units), couplings_(couplings), ids_(p.run.ids + row), rows_(rows),
          push_(p.drive, units.shape, units.bias.data(), row, rows), field_(rows * units.shape.stride),
          noise_(p.integrator == LEIMKUHLER_MATTHEWS ? rows * units.shape.stride : 0) {}

    // One step of x in place; Heun leaves its guess in `guess`.
    void step(int64_t k, float* x, float* guess) {
        push_.load_step(k);
        field(x);
        if (p_.integrator == EULER_MARUYAMA) return euler(k, x);
        if (p_.integrator == HEUN) return heun(k, x, guess);
        leimkuhler_matthews(k, x);
    }

  private:
    const Shape& shape() const { return units_.shape; }

    NoiseStep at(int64_t k) const { return {p_.run.seed, p_.run.stream, uint64_t(p_.run.start_step + k)}; }

    void field(const float* x) {
        if (!couplings_.empty()) couplings_(x, rows_, field_.data());
    }

    template <class Body>
    void normals(int64_t k, Body&& body) {
        for_normals(shape(), ids_, rows_, at(k), std::forward<Body>(body));
    }

    void euler(int64_t k, float* x) {
        normals(k, [&](int64_t r, int64_t i, Floats xi) {
            float* here = x + r * shape().stride + i;
            const Floats field = load(field_.data() + r * shape().stride + i);
            const Floats force = units_.force(load(here), field, push_.row(r), i);
            const Floats moved = fma(load(units_.rate.data() + i), force, load(here));
            store(here, fma(load(units_.kick.data() + i), xi, moved));
        });
    }

    void heun(int64_t k, float* x, float* guess) {
        // x becomes x + dt drift / 2 + kick, the guess x + dt drift + kick.
        normals(k, [&](int64_t r, int64_t i, Floats xi) {
            const int64_t at = r * shape().stride + i;
            const Floats old = load(x + at), kick = load(units_.kick.data() + i) * xi;
            const Floats force = units_.force(old, load(field_.data() + at), push_.row(r), i);
            const Floats drift = load(units_.rate.data() + i) * force;
            store(guess + at, old + drift + kick);
            store(x + at, fma(all(0.5f), drift, old) + kick);
        });
        field(guess);
        for (int64_t r = 0; r < rows_; ++r)
            for (int64_t i = 0; i < shape().vectors * LANES; i += LANES) {
                const int64_t at = r * shape().stride + i;
                const Floats force = units_.force(load(guess + at), load(field_.data() + at), push_.row(r), i);
                store(x + at, fma(load(units_.rate.data() + i) * 0.5f, force, load(x + at)));
            }
    }

    // The mean of the normals of this step and the next; the latter are kept for the next call.
    void leimkuhler_matthews(int64_t k, float* x) {
        auto keep = [&](int64_t r, int64_t i, Floats xi) { store(noise_.data() + r * shape().stride + i, xi); };
        if (k != next_) normals(k, keep);
        next_ = k + 1;
        normals(k + 1, [&](int64_t r, int64_t i, Floats xi) {
            const int64_t at = r * shape().stride + i;
            const Floats force = units_.force(load(x + at), load(field_.data() + at), push_.row(r), i);
            const Floats moved = fma(load(units_.rate.data() + i), force, load(x + at));
            const Floats mean = (load(noise_.data() + at) + xi) * 0.5f;
            store(x + at, fma(load(units_.kick.data() + i), mean, moved));
            keep(r, i, xi);
        });
    }

    const Langevin& p_;
    const Units& units_;
    const Product& couplings_;
    const int64_t* ids_;
    int64_t rows_, next_ = -1;
    Push push_;
    Buffer field_, noise_;
};

// The sums of one thread over its chunks.
struct Gradients {
    ForceSum bias, drive;
    CouplingsSum couplings;
};

// The adjoint of one chunk: the states of a segment again from its first, then backwards through it.
class Adjoint {
  public:
    Adjoint(const Langevin& p, const Units& units, const Product& couplings, const Product& transposed,
            Gradients& gradients, int64_t row, int64_t rows)
        : p_(p), units_(units), transposed_(transposed), gradients_(gradients), row_(row), rows_(rows),
          size_(rows * units.shape.stride), stages_(p.integrator == HEUN ? 2 : 1),
          stepper_(p, units, couplings, row, rows), states_(p.run.segment() * stages_ * size_), lambda_(size_),
          field_(size_), force_(size_), total_(size_), of_guess_(stages_ == 2 ? size_ : 0),
          beyond_(stages_ == 2 ? size_ : 0) {}

    void run() {
        const Run& run = p_.run;
        copy_in(shape(), run.grad_end + row_ * run.units, rows_, lambda_.data());
        for (int64_t k = run.steps, segment = (run.steps - 1) / run.segment(); k > 0; --segment) {
            const int64_t begin = segment * run.segment();
            replay(begin, k);
            while (k > begin) {
                --k;
                if (run.records(k))
                    add_in(shape(), run.grad_recorded + (run.record_index(k) * run.batch + row_) * run.units, rows_,
                           lambda_.data());
                float* x = states_.data() + (k - begin) * stages_ * size_;
                stages_ == 2 ? heun(k, x, x + size_) : one_force(k, x);
            }
        }
        copy_out(shape(), lambda_.data(), rows_, run.grad_state + row_ * run.units);
        gradients_.bias.add(0, row_, rows_, total_.data());
        if (p_.drive.steps == 1) gradients_.drive.add(0, row_, rows_, total_.data());
    }

  private:
    const Shape& shape() const { return units_.shape; }

    // Fills `states_` with the state (and Heun's guess) at the start of steps begin ... end - 1.
    void replay(int64_t begin, int64_t end) {
        const Run& run = p_.run;
        run.load_state(shape(), begin, row_, rows_, states_.data());
        for (int64_t k = begin; k < end; ++k) {
            const bool last = k + 1 == end;
            if (last && stages_ == 1) break;
            float* x = states_.data() + (k - begin) * stages_ * size_;
            float* next = last ? beyond_.data() : x + stages_ * size_;
            std::memcpy(next, x, 4 * size_);
            stepper_.step(k, next, x + size_);
        }
    }

    // force: rate x dL/dx' on entry of a stage; adds its share to the gradients, and -H(x) force to `to`.
    void through_force(int64_t k, const float* x, const float* force, float* to) {
        if (!transposed_.empty()) transposed_(force, rows_, field_.data());
        for (int64_t r = 0; r < rows_; ++r)
            for (int64_t i = 0; i < shape().vectors * LANES; i += LANES) {
                const int64_t at = r * shape().stride + i;
                const Floats slope = units_.curvature(load(x + at), i), a = load(force + at);
                store(to + at, fma(-slope, a, load(to + at)) - load(field_.data() + at));
                store(total_.data() + at, load(total_.data() + at) + a);
            }
        if (p_.drive.steps > 1) gradients_.drive.add(k, row_, rows_, force);
        gradients_.couplings.add(x, force, rows_);
    }

    void one_force(int64_t k, const float* x) {
        scaled_rate(1.0f, lambda_.data(), force_.data());
        through_force(k, x, force_.data(), lambda_.data());
    }

    // x' = x + (d(x) + d(g)) / 2 + kick, g = x + d(x) + kick
    void heun(int64_t k, const float* x, const float* guess) {
        std::memset(of_guess_.data(), 0, 4 * size_);
        scaled_rate(0.5f, lambda_.data(), force_.data());
        through_force(k, guess, force_.data(), of_guess_.data());
        for (int64_t at = 0; at < size_; at += LANES)
            store(force_.data() + at, fma(all(0.5f), load(lambda_.data() + at), load(of_guess_.data() + at)));
        scaled_rate(1.0f, force_.data(), force_.data());
        for (int64_t at = 0; at < size_; at += LANES)
            store(lambda_.data() + at, load(lambda_.data() + at) + load(of_guess_.data() + at));
        through_force(k, x, force_.data(), lambda_.data());
    }

    void scaled_rate(float factor, const float* from, float* to) {
        for (int64_t r = 0; r < rows_; ++r)
            for (int64_t i = 0; i < shape().vectors * LANES; i += LANES) {
                const int64_t at = r * shape().stride + i;
                store(to + at, load(units_.rate.data() + i) * factor * load(from + at));
            }
    }

    const Langevin& p_;
    const Units& units_;
    const Product& transposed_;
    Gradients& gradients_;
    int64_t row_, rows_, size_, stages_;
    Stepper stepper_;
    Buffer states_, lambda_, field_, force_, total_, of_guess_, beyond_;  // total: of the forces of all steps
};

}  // namespace langevin
