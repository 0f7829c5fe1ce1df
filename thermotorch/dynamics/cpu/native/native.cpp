// The entry points that operators.py calls. Returns 0, or 1 when memory ran out.
#include <chrono>
#include <cstring>
#include <iterator>
#include <utility>

#include "action.h"
#include "alternating.h"
#include "langevin_run.h"
#include "splitting.h"
#include "weights.h"

template <class Call>
static int guarded(Call&& call) {
    try {
        call();
        return 0;
    } catch (const std::bad_alloc&) {
        return 1;
    }
}

extern "C" {

// Bytes of a structure whose fields structures.py reads from the headers, -1 for an unknown name.
int thermotorch_size(const char* name) {
    const std::pair<const char*, size_t> sizes[] = {
        {"Block", sizeof(Block)},         {"Run", sizeof(Run)},
        {"Force", sizeof(Force)},         {"Langevin", sizeof(Langevin)},
        {"Splitting", sizeof(Splitting)}, {"PathWeights", sizeof(PathWeights)},
        {"Action", sizeof(Action)},
    };
    for (const auto& [known, size] : sizes)
        if (!std::strcmp(name, known)) return int(size);
    return -1;
}

// The number of an integrator in langevin.h, -1 for an unknown name.
int thermotorch_integrator(const char* name) {
    for (int i = 0; i < int(std::size(INTEGRATORS)); ++i)
        if (!std::strcmp(name, INTEGRATORS[i])) return i;
    return -1;
}

int thermotorch_langevin(const Langevin* p) {
    return guarded([&] { p->integrator == ALTERNATING ? alternating::forward(*p) : langevin::forward(*p); });
}

int thermotorch_langevin_backward(const Langevin* p) {
    return guarded([&] { p->integrator == ALTERNATING ? alternating::backward(*p) : langevin::backward(*p); });
}

int thermotorch_products(const Langevin* p) {
    return guarded([&] { langevin::products(*p); });
}

int thermotorch_splitting(const Splitting* p) {
    return guarded([&] { splitting::forward(*p); });
}

int thermotorch_splitting_backward(const Splitting* p) {
    return guarded([&] { splitting::backward(*p); });
}

int thermotorch_path_weights(const PathWeights* p) {
    return guarded([&] { weights::forward(*p); });
}

int thermotorch_reverse_action(const Action* p) {
    return guarded([&] { action::forward(*p); });
}

int thermotorch_reverse_action_backward(const Action* p) {
    return guarded([&] { action::backward(*p); });
}

// True if the matrix unit computes products of rounded operands.
int thermotorch_has_matrix_unit() { return Product::on_tiles(BF16); }

// Floating-point operations per second of one core that does nothing but multiply-adds in registers.
double thermotorch_peak_flops() {
    constexpr int CHAINS = 12;
    constexpr int64_t ROUNDS = 1 << 20;
    double best = 0;
    for (int repeat = 0; repeat < 5; ++repeat) {
        Floats chain[CHAINS];
        for (int c = 0; c < CHAINS; ++c) chain[c] = all(1.0f + c);
        const auto start = std::chrono::steady_clock::now();
        for (int64_t i = 0; i < ROUNDS; ++i) {
#pragma GCC unroll 12
            for (int c = 0; c < CHAINS; ++c) chain[c] = fma(chain[c], all(0.999f), all(0.001f));
        }
        const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        Floats sum = {};
        for (int c = 0; c < CHAINS; ++c) sum += chain[c];
        volatile float keep = sum[0];  // so that nothing is left out
        (void)keep;
        best = std::max(best, 2.0 * LANES * CHAINS * ROUNDS / seconds);
    }
    return best;
}

// normals[row, unit] of one step, for tests.
int thermotorch_normals(uint64_t seed, int64_t stream, uint64_t step, const int64_t* ids, int64_t rows, int64_t units,
                        float* normals) {
    return guarded([&] {
        const Shape shape(units);
        Buffer out(rows * shape.stride);
        for_normals(shape, ids, rows, NoiseStep(seed, stream, step),
                    [&](int64_t r, int64_t i, Floats xi) { store(out.data() + r * shape.stride + i, xi); });
        copy_out(shape, out.data(), rows, normals);
    });
}
}
