// thermotorch::langevin and its gradient: Euler-Maruyama, Heun, Leimkuhler-Matthews (integrators.py).
#pragma once

#include "run.h"

enum Integrator : int64_t { EULER_MARUYAMA, HEUN, LEIMKUHLER_MATTHEWS };

struct Langevin {
    Run run;
    int64_t integrator;
    double dt, temperature;
    const float *bias, *j2, *j3, *j4, *mobility;
    Force drive;
    float *grad_bias, *grad_drive;
};

namespace langevin {

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

    // On-site and constant force minus field at x, all without mobility.
    Floats force(Floats x, Floats field, const float* push, int64_t i) const {
        const Floats slope = fma(fma(load(cubic.data() + i), x, load(quadratic.data() + i)), x, load(linear.data() + i));
        return fma(-slope, x, load(push + i)) - field;
    }

    Floats curvature(Floats x, int64_t i) const {
        const Floats c = load(cubic.data() + i) * 3.0f, q = load(quadratic.data() + i) * 2.0f;
        return fma(fma(c, x, q), x, load(linear.data() + i));
    }
};

// The part of the force that does not depend on the state, drive - bias, for the rows of a chunk.
class Push {
  public:
    Push(const Langevin& p, const Units& units, int64_t row, int64_t rows)
        : p_(p), units_(units), row_(row), rows_(p.drive.data && p.drive.rows > 1 ? rows : 1), loaded_(-1),
          data_(rows_ * units.shape.stride) {}

    void load_step(int64_t step) {
        const int64_t wanted = p_.drive.data && p_.drive.steps > 1 ? step : 0;
        if (wanted == loaded_) return;
        loaded_ = wanted;
        for (int64_t r = 0; r < rows_; ++r) {
            float* to = data_.data() + r * units_.shape.stride;
            const float* drive = p_.drive.data ? p_.drive.at(step, row_ + r, units_.shape.units) : nullptr;
            for (int64_t i = 0; i < units_.shape.units; ++i) to[i] = (drive ? drive[i] : 0.0f) - units_.bias.data()[i];
        }
    }

    const float* row(int64_t r) const { return data_.data() + (rows_ > 1 ? r * units_.shape.stride : 0); }

  private:
    const Langevin& p_;
    const Units& units_;
    int64_t row_, rows_, loaded_;
    Buffer data_;
};

// Steps for the rows of one chunk, with room for what they need in between.
class Stepper {
  public:
    Stepper(const Langevin& p, const Units& units, const Couplings& couplings, const Buffer& packed, int64_t row,
            int64_t rows)
        : p_(p), units_(units), couplings_(couplings), packed_(packed), ids_(p.run.ids + row), rows_(rows),
          push_(p, units, row, rows), field_(rows * units.shape.stride),
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
        if (!couplings_.empty()) product(couplings_, packed_, shape(), x, rows_, field_.data());
    }

    template <class Body>
    void normals(int64_t k, Body&& body) {
        for_normals(shape(), ids_, rows_, at(k), std::forward<Body>(body));
    }

    void euler(int64_t k, float* x) {
        normals(k, [&](int64_t r, int64_t i, Floats xi) {
            float* here = x + r * shape().stride + i;
            const Floats force = units_.force(load(here), load(field_.data() + r * shape().stride + i), push_.row(r), i);
            const Floats moved = fma(load(units_.rate.data() + i), force, load(here));
            store(here, fma(load(units_.kick.data() + i), xi, moved));
        });
    }

    void heun(int64_t k, float* x, float* guess) {
        // x becomes x + dt drift / 2 + kick, the guess x + dt drift + kick.
        normals(k, [&](int64_t r, int64_t i, Floats xi) {
            const int64_t at = r * shape().stride + i;
            const Floats old = load(x + at), kick = load(units_.kick.data() + i) * xi;
            const Floats drift = load(units_.rate.data() + i) * units_.force(old, load(field_.data() + at), push_.row(r), i);
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
    const Couplings& couplings_;
    const Buffer& packed_;
    const int64_t* ids_;
    int64_t rows_, next_ = -1;
    Push push_;
    Buffer field_, noise_;
};

static void forward(const Langevin& p) {
    const Units units(p);
    const Shape& shape = units.shape;
    const Couplings couplings(shape, p.run.blocks, p.run.block_count, false);
    const Buffer packed = couplings.pack();
    const Run& run = p.run;
    for_chunks(run, rows_per_chunk(run, shape, 2), [&](int64_t, int64_t row, int64_t rows) {
        Stepper stepper(p, units, couplings, packed, row, rows);
        Buffer x(rows * shape.stride), guess(p.integrator == HEUN ? rows * shape.stride : 0);
        copy_in(shape, run.state + row * run.units, rows, x.data());
        for (int64_t k = 0; k < run.steps; ++k) {
            stepper.step(k, x.data(), guess.data());
            if (run.records(k))
                copy_out(shape, x.data(), rows, run.recorded + (run.record_index(k) * run.batch + row) * run.units);
            if (run.keeps(k))
                copy_out(shape, x.data(), rows, run.kept + (((k + 1) / run.keep - 1) * run.batch + row) * run.units);
        }
        copy_out(shape, x.data(), rows, run.end + row * run.units);
    });
}

// The adjoint of one chunk: states of a segment again from its first, then backwards through it.
class Adjoint {
  public:
    Adjoint(const Langevin& p, const Units& units, const Couplings& couplings, const Buffer& packed,
            const Couplings& transposed, const Buffer& packed_transposed, Buffer& grad_couplings, double* grad_bias,
            int64_t row, int64_t rows)
        : p_(p), units_(units), couplings_(couplings), transposed_(transposed), packed_transposed_(packed_transposed),
          grad_couplings_(grad_couplings), grad_bias_(grad_bias), row_(row), rows_(rows), size_(rows * units.shape.stride),
          stages_(p.integrator == HEUN ? 2 : 1), held_(std::max<int64_t>(1, 256 / rows)),
          stepper_(p, units, couplings, packed, row, rows), states_(p.run.segment() * stages_ * size_), lambda_(size_),
          field_(size_), first_(size_), bias_(units.shape.stride), held_states_(held_ * size_), held_forces_(held_ * size_) {}

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
        flush();
        copy_out(shape(), lambda_.data(), rows_, run.grad_state + row_ * run.units);
    }

  private:
    const Shape& shape() const { return units_.shape; }

    // Fills `states_` with the state (and Heun's guess) at the start of steps begin ... end - 1.
    void replay(int64_t begin, int64_t end) {
        const Run& run = p_.run;
        const float* from = begin ? run.kept + (begin / run.keep - 1) * run.batch * run.units : run.state;
        copy_in(shape(), from + row_ * run.units, rows_, states_.data());
        const bool last_guess = stages_ == 2;
        Buffer beyond(last_guess ? size_ : 0);
        for (int64_t k = begin; k < end; ++k) {
            float* x = states_.data() + (k - begin) * stages_ * size_;
            float* next = x + stages_ * size_;
            if (k + 1 < end) {
                std::memcpy(next, x, 4 * size_);
                stepper_.step(k, next, x + size_);
            } else if (last_guess) {
                std::memcpy(beyond.data(), x, 4 * size_);
                stepper_.step(k, beyond.data(), x + size_);
            }
        }
    }

    // force: rate x dL/dx' on entry of a stage; adds its share to the gradients, and -H(x) force to `to`.
    void through_force(int64_t k, const float* x, const float* force, float* to) {
        if (!couplings_.empty()) product(transposed_, packed_transposed_, shape(), force, rows_, field_.data());
        float* drive = p_.grad_drive ? p_.grad_drive + (p_.drive.steps > 1 ? k * p_.drive.rows * p_.run.units : 0) : nullptr;
        for (int64_t r = 0; r < rows_; ++r) {
            for (int64_t i = 0; i < shape().vectors * LANES; i += LANES) {
                const int64_t at = r * shape().stride + i;
                const Floats a = load(force + at);
                store(to + at, fma(-units_.curvature(load(x + at), i), a, load(to + at)) - load(field_.data() + at));
                store(bias_.data() + i, load(bias_.data() + i) + a);
            }
            if (drive && p_.drive.rows > 1)
                for (int64_t i = 0; i < shape().units; ++i)
                    drive[(row_ + r) * shape().units + i] += force[r * shape().stride + i];
        }
        for (int64_t i = 0; i < shape().units; ++i) {
            grad_bias_[i] -= bias_.data()[i];
            if (drive && p_.drive.rows == 1) shared_drive(k)[i] += bias_.data()[i];
            bias_.data()[i] = 0;
        }
        if (grad_couplings_.size()) {
            std::memcpy(held_states_.data() + count_ * size_, x, 4 * size_);
            std::memcpy(held_forces_.data() + count_ * size_, force, 4 * size_);
            if (++count_ == held_) flush();
        }
    }

    // One force for all rows: threads add to rows of their own, which `backward` sums.
    double* shared_drive(int64_t k) { return grad_bias_ + (1 + (p_.drive.steps > 1 ? k : 0)) * shape().units; }

    void flush() {
        add_outer(couplings_, shape(), held_states_.data(), held_forces_.data(), count_ * rows_, grad_couplings_);
        count_ = 0;
    }

    void one_force(int64_t k, const float* x) {
        scaled_rate(1.0f, lambda_.data(), first_.data());
        through_force(k, x, first_.data(), lambda_.data());
    }

    // x' = x + (d(x) + d(g)) / 2 + kick, g = x + d(x) + kick
    void heun(int64_t k, const float* x, const float* guess) {
        Buffer of_guess(size_), second(size_);
        scaled_rate(0.5f, lambda_.data(), second.data());
        through_force(k, guess, second.data(), of_guess.data());
        for (int64_t at = 0; at < size_; at += LANES)
            store(second.data() + at, fma(all(0.5f), load(lambda_.data() + at), load(of_guess.data() + at)));
        scaled_rate(1.0f, second.data(), first_.data());
        for (int64_t at = 0; at < size_; at += LANES)
            store(lambda_.data() + at, load(lambda_.data() + at) + load(of_guess.data() + at));
        through_force(k, x, first_.data(), lambda_.data());
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
    const Couplings &couplings_, &transposed_;
    const Buffer& packed_transposed_;
    Buffer& grad_couplings_;
    double* grad_bias_;
    int64_t row_, rows_, size_, stages_, held_, count_ = 0;
    Stepper stepper_;
    Buffer states_, lambda_, field_, first_, bias_, held_states_, held_forces_;
};

static void backward(const Langevin& p) {
    const Units units(p);
    const Shape& shape = units.shape;
    const Run& run = p.run;
    const Couplings couplings(shape, run.blocks, run.block_count, false);
    const Couplings transposed(shape, run.blocks, run.block_count, true);
    const Buffer packed = couplings.pack(), packed_transposed = transposed.pack();
    const int64_t shared = p.grad_drive && p.drive.rows == 1 ? p.drive.steps : 0;
    std::vector<Buffer> grad_couplings;
    std::vector<std::vector<double>> grad_bias(run.threads, std::vector<double>((1 + shared) * run.units));
    for (int64_t thread = 0; thread < run.threads; ++thread)
        grad_couplings.emplace_back(run.grad_blocks ? couplings.size() : 0);
    for_chunks(run, rows_per_chunk(run, shape, 6), [&](int64_t thread, int64_t row, int64_t rows) {
        Adjoint(p, units, couplings, packed, transposed, packed_transposed, grad_couplings[thread],
                grad_bias[thread].data(), row, rows).run();
    });
    for (int64_t i = 0; i < (1 + shared) * run.units; ++i) {
        double sum = 0;
        for (const auto& part : grad_bias) sum += part[i];
        (i < run.units ? p.grad_bias[i] : p.grad_drive[i - run.units]) += float(sum);
    }
    if (run.grad_blocks) {
        const Couplings target(shape, run.grad_blocks, run.block_count, false);
        for (const Buffer& part : grad_couplings) target.add_to_blocks(part, -1.0f);
    }
}

}  // namespace langevin
