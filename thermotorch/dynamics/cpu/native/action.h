// thermotorch::reverse_action and its gradient: the residuals of time-reversed Euler-Maruyama steps.
//
//     residual = x - x' + dt (dV/dx)(x'),   action = sum of residual^2 / (4 kT dt)
//
// Every row, one step of one sample, is independent of the others; `run.batch` counts rows, `run.state` is the path.
#pragma once

#include "langevin.h"

struct Action {
    Run run;          // end: residual [rows, units]; grad_end: by the actions [rows]
    int64_t samples;  // rows between x and x'
    double dt, temperature;
    const float *bias, *j2, *j3, *j4;
    float* action;
    float* grad_bias;
};

namespace action {

// On-site terms and biases with mobility 1 and no drive.
static langevin::Units units(const Action& p, const std::vector<float>& ones) {
    Langevin like{};
    like.run.units = p.run.units;
    like.dt = p.dt;
    like.bias = p.bias;
    like.j2 = p.j2;
    like.j3 = p.j3;
    like.j4 = p.j4;
    like.mobility = ones.data();
    return langevin::Units(like);
}

static void forward(const Action& p) {
    const Run& run = p.run;
    const langevin::Units on_site = units(p, std::vector<float>(run.units, 1.0f));
    const Shape& shape = on_site.shape;
    const Product couplings(shape, run.blocks, run.block_count, false, run.precision);
    Buffer push(shape.stride);
    for (int64_t i = 0; i < shape.units; ++i) push.data()[i] = -p.bias[i];
    for_chunks(run, rows_per_chunk(run, shape, 4), [&](int64_t, int64_t row, int64_t rows) {
        Buffer before(rows * shape.stride), after(rows * shape.stride), field(rows * shape.stride);
        copy_in(shape, run.state + row * run.units, rows, before.data());
        copy_in(shape, run.state + (row + p.samples) * run.units, rows, after.data());
        if (!couplings.empty()) couplings(after.data(), rows, field.data());
        for (int64_t r = 0; r < rows; ++r) {
            Floats squares = {};
            for (int64_t i = 0; i < shape.vectors * LANES; i += LANES) {
                const int64_t at = r * shape.stride + i;
                const Floats x = load(after.data() + at);
                const Floats force = on_site.force(x, load(field.data() + at), push.data(), i);
                const Floats residual = fma(-load(on_site.rate.data() + i), force, load(before.data() + at) - x);
                squares = fma(residual, residual, squares);
                store(field.data() + at, residual);
            }
            double sum = 0;
            for (int lane = 0; lane < LANES; ++lane) sum += squares[lane];
            p.action[row + r] = float(sum / (4 * p.temperature * p.dt));
        }
        copy_out(shape, field.data(), rows, run.end + row * run.units);
    });
}

static void backward(const Action& p) {
    const Run& run = p.run;
    const Shape shape(run.units);
    const Couplings couplings(shape, run.blocks, run.block_count, false);
    std::vector<ForceSum> biases;
    std::vector<CouplingsSum> sums;
    for (int64_t thread = 0; thread < run.threads; ++thread) {
        biases.emplace_back(shape, p.grad_bias, 1, 1);
        sums.emplace_back(shape, couplings, run.grad_blocks);
    }
    for_chunks(run, rows_per_chunk(run, shape, 4), [&](int64_t thread, int64_t row, int64_t rows) {
        Buffer after(rows * shape.stride), force(rows * shape.stride);
        copy_in(shape, run.state + (row + p.samples) * run.units, rows, after.data());
        copy_in(shape, run.end + row * run.units, rows, force.data());
        for (int64_t r = 0; r < rows; ++r) {
            const float factor = run.grad_end[row + r] / float(2 * p.temperature);
            for (int64_t i = 0; i < shape.vectors * LANES; i += LANES) {
                float* here = force.data() + r * shape.stride + i;
                store(here, load(here) * factor);
            }
        }
        biases[thread].add(0, row, rows, force.data());
        sums[thread].add(after.data(), force.data(), rows);
    });
    const Couplings target(shape, run.grad_blocks, run.grad_blocks ? run.block_count : 0, false);
    for (ForceSum& part : biases) part.finish();
    for (CouplingsSum& part : sums) part.finish(target);
}

}  // namespace action
