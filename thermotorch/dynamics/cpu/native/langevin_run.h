// A whole call of thermotorch::langevin and of its gradient: chunks of samples, each with its samples in rows
// (langevin.h) or, where that is faster, in lanes (lanes.h).
#pragma once

#include <optional>

#include "lanes.h"

namespace langevin {

static void forward(const Langevin& p) {
    const Units units(p);
    const Shape& shape = units.shape;
    const Run& run = p.run;
    const bool in_lanes = lanes::suit(p);
    const Product couplings(shape, run.blocks, run.block_count, false, run.precision);
    std::optional<lanes::Product> for_lanes;
    if (in_lanes) for_lanes.emplace(shape, run.blocks, run.block_count, false);
    const int64_t most = in_lanes ? lanes::SAMPLES : rows_per_chunk(run, shape, 2);
    for_chunks(run, most, [&](int64_t, int64_t row, int64_t rows) {
        if (in_lanes && lanes::suit(run.ids + row, rows)) return lanes::forward(p, units, *for_lanes, row);
        Stepper stepper(p, units, couplings, row, rows);
        Buffer x(rows * shape.stride), guess(p.integrator == HEUN ? rows * shape.stride : 0);
        copy_in(shape, run.state + row * run.units, rows, x.data());
        for (int64_t k = 0; k < run.steps; ++k) {
            stepper.step(k, x.data(), guess.data());
            run.save(shape, k, row, rows, x.data());
        }
        copy_out(shape, x.data(), rows, run.end + row * run.units);
    });
    if (float* mark = lanes::mark(run)) *mark = in_lanes;
}

static void backward(const Langevin& p) {
    const Units units(p);
    const Shape& shape = units.shape;
    const Run& run = p.run;
    const float* mark = lanes::mark(run);
    const bool in_lanes = mark && *mark;
    const Product couplings(shape, run.blocks, run.block_count, false, run.precision);
    const Product transposed(shape, run.blocks, run.block_count, true, run.precision);
    std::optional<lanes::Product> for_lanes;
    if (in_lanes) for_lanes.emplace(shape, run.blocks, run.block_count, true);
    std::vector<Gradients> gradients;
    std::vector<lanes::Outer> outers;
    for (int64_t thread = 0; thread < run.threads; ++thread) {
        gradients.push_back({ForceSum(shape, p.grad_bias, 1, 1),
                             ForceSum(shape, p.grad_drive, p.drive.steps, p.drive.rows),
                             CouplingsSum(shape, couplings.couplings(), run.grad_blocks)});
        if (in_lanes) outers.emplace_back(run);
    }
    const int64_t most = in_lanes ? lanes::SAMPLES : rows_per_chunk(run, shape, 6);
    for_chunks(run, most, [&](int64_t thread, int64_t row, int64_t rows) {
        if (in_lanes && lanes::suit(run.ids + row, rows))
            return lanes::backward(p, units, *for_lanes, row, gradients[thread], outers[thread]);
        Adjoint(p, units, couplings, transposed, gradients[thread], row, rows).run();
    });
    const Couplings target(shape, run.grad_blocks, run.grad_blocks ? run.block_count : 0, false);
    for (Gradients& part : gradients) {
        part.bias.finish(-1.0f);
        part.drive.finish();
        part.couplings.finish(target, -1.0f);
    }
    for (const lanes::Outer& outer : outers) outer.subtract_from(run.grad_blocks, run.block_count);
}

// The field of the state, run.steps times over, and nothing else: no program that takes these products can be faster.
static void products(const Langevin& p) {
    const Run& run = p.run;
    const Shape shape(run.units);
    const bool in_lanes = lanes::suit(p);
    const Product couplings(shape, run.blocks, run.block_count, false, run.precision);
    const lanes::Product for_lanes(shape, run.blocks, run.block_count, false);
    const int64_t most = in_lanes ? lanes::SAMPLES : rows_per_chunk(run, shape, 2);
    for_chunks(run, most, [&](int64_t, int64_t row, int64_t rows) {
        const float* state = run.state + row * run.units;
        float* end = run.end + row * run.units;
        Buffer x(rows * shape.stride), field(rows * shape.stride);
        if (in_lanes && rows == lanes::SAMPLES) {
            lanes::to_lanes(state, run.units, x.data());
            for (int64_t k = 0; k < run.steps; ++k)
                for_lanes(x.data(), [&](int64_t i, const Floats* of_unit) {
                    for (int v = 0; v < lanes::WORDS; ++v)
                        store(field.data() + i * lanes::SAMPLES + v * LANES, of_unit[v]);
                });
            return lanes::from_lanes(field.data(), run.units, end, run.units);
        }
        copy_in(shape, state, rows, x.data());
        for (int64_t k = 0; k < run.steps; ++k) couplings(x.data(), rows, field.data());
        copy_out(shape, field.data(), rows, end);
    });
}

}  // namespace langevin
