// The structures of a call from Python (`structures.py` reads their fields here); how its batch is spread over threads.
#pragma once

#include <atomic>
#include <memory>

#include "crew.h"
#include "noise.h"
#include "parallel.h"
#include "product.h"

static inline void copy(const float* from, int64_t from_stride, float* to, int64_t to_stride, int64_t rows,
                        int64_t units) {
    for (int64_t r = 0; r < rows; ++r) std::memcpy(to + r * to_stride, from + r * from_stride, 4 * units);
}

static inline void copy_in(const Shape& shape, const float* from, int64_t rows, float* to) {
    copy(from, shape.units, to, shape.stride, rows, shape.units);
}

static inline void copy_out(const Shape& shape, const float* from, int64_t rows, float* to) {
    copy(from, shape.stride, to, shape.units, rows, shape.units);
}

static inline void add_in(const Shape& shape, const float* from, int64_t rows, float* to) {
    for (int64_t r = 0; r < rows; ++r)
        for (int64_t i = 0; i < shape.units; ++i) to[r * shape.stride + i] += from[r * shape.units + i];
}

// Shared by both operators; names and shapes are those of operators/arguments.py.
struct Run {
    int64_t batch, units, steps, start_step, stream, record, keep, threads, precision, block_count;
    uint64_t seed;
    const Block* blocks;
    const int64_t* ids;
    const float* state;
    float *end, *recorded, *kept;
    // Gradients of the loss by the outputs, and by the inputs. `grad_blocks` is null unless required.
    const float *grad_end, *grad_recorded;
    float* grad_state;
    const Block* grad_blocks;

    bool records(int64_t k) const { return record && (start_step + k + 1) % record == 0; }
    // Position among the recorded states of the state after step k of this call.
    int64_t record_index(int64_t k) const { return (start_step + k + 1) / record - start_step / record - 1; }
    bool keeps(int64_t k) const { return keep && (k + 1) % keep == 0 && k + 1 < steps; }
    // Stores the states after step k of this call, if they are recorded or kept.
    void save(const Shape& shape, int64_t k, int64_t row, int64_t rows, const float* x) const {
        if (records(k)) copy_out(shape, x, rows, recorded + (record_index(k) * batch + row) * units);
        keep_state(shape, k, row, rows, x);
    }

    // Kept states lie sample after sample, [batch, kept, width], so that the rows of a chunk are in one place. The width
    // is odd, which spreads them over the cache, and leaves a number free; operators/arguments.py knows it.
    int64_t num_kept() const { return keep && steps ? (steps - 1) / keep : 0; }
    int64_t kept_width() const { return units + 1 + units % 2; }
    float* kept_after(int64_t k, int64_t row) const {
        return kept + (row * num_kept() + (k + 1) / keep - 1) * kept_width();
    }
    void keep_state(const Shape& shape, int64_t k, int64_t row, int64_t rows, const float* x) const {
        if (!keeps(k)) return;
        float* to = kept_after(k, row);
        const int64_t pitch = num_kept() * kept_width();
        copy(x, shape.stride, to, pitch, rows, units);
        for (int64_t r = 0; r < rows; ++r) std::fill(to + r * pitch + units, to + r * pitch + kept_width(), 0.0f);
    }
    // The state before step k, one that was kept or the first.
    void load_state(const Shape& shape, int64_t k, int64_t row, int64_t rows, float* to) const {
        if (k) return copy(kept_after(k - 1, row), num_kept() * kept_width(), to, shape.stride, rows, units);
        copy_in(shape, state + row * units, rows, to);
    }
    int64_t segment() const { return keep ? keep : std::max<int64_t>(1, steps); }
};

// A force for each step, or one for all; for each sample, or one for all. `data` null: no force.
struct Force {
    const float* data;
    int64_t steps, rows;
    const float* at(int64_t step, int64_t row, int64_t units) const {
        return data + ((steps > 1 ? step : 0) * rows + (rows > 1 ? row : 0)) * units;
    }
};

// One thread's share of the gradient by a force: summed over the samples, and the steps, that have the force in common.
class ForceSum {
  public:
    // `data` is null unless the gradient is required.
    ForceSum(const Shape& shape, float* data, int64_t steps, int64_t rows)
        : shape_(shape), data_(data), steps_(steps), rows_(rows),
          shared_(data && rows == 1 ? steps * shape.units : 0) {}

    // `gradient` [rows, stride] of the chunk that begins at `row`.
    void add(int64_t step, int64_t row, int64_t rows, const float* gradient) {
        if (!data_) return;
        const int64_t at = (steps_ > 1 ? step : 0) * rows_ * shape_.units;
        if (rows_ > 1) {  // no other thread has these rows
            add_out(gradient, rows, data_ + at + row * shape_.units);
            return;
        }
        for (int64_t i = 0; i < shape_.units; i += LANES) {
            Floats sum = {};
            for (int64_t r = 0; r < rows; ++r) sum += load(gradient + r * shape_.stride + i);
            for (int64_t lane = 0; lane < std::min<int64_t>(LANES, shape_.units - i); ++lane)
                shared_[at + i + lane] += sum[lane];
        }
    }

    void finish(float sign = 1.0f) {
        for (size_t i = 0; i < shared_.size(); ++i) data_[i] += sign * float(shared_[i]);
    }

  private:
    void add_out(const float* from, int64_t rows, float* to) const {
        for (int64_t r = 0; r < rows; ++r)
            for (int64_t i = 0; i < shape_.units; ++i) to[r * shape_.units + i] += from[r * shape_.stride + i];
    }

    Shape shape_;
    float* data_;
    int64_t steps_, rows_;
    std::vector<double> shared_;
};

// One thread's share of the gradient by couplings. States and forces are collected: many are multiplied at once.
class CouplingsSum {
  public:
    CouplingsSum(const Shape& shape, const Couplings& couplings, bool wanted)
        : shape_(shape), couplings_(couplings), sum_(wanted ? couplings.size() : 0),
          states_(sum_.size() ? ROWS * shape.stride : 0), forces_(sum_.size() ? ROWS * shape.stride : 0) {}

    void add(const float* states, const float* forces, int64_t rows) {
        if (!sum_.size()) return;
        if (rows >= ROWS) return add_outer(couplings_, shape_, states, forces, rows, sum_);
        for (int64_t done = 0; done < rows;) {
            const int64_t count = std::min(rows - done, ROWS - held_);
            const int64_t from = done * shape_.stride, to = held_ * shape_.stride, bytes = 4 * count * shape_.stride;
            std::memcpy(states_.data() + to, states + from, bytes);
            std::memcpy(forces_.data() + to, forces + from, bytes);
            done += count;
            held_ += count;
            if (held_ == ROWS) flush();
        }
    }

    // Adds to the gradient blocks of `target`, which has the structure of the couplings.
    void finish(const Couplings& target, float sign = 1.0f) {
        flush();
        if (sum_.size()) target.add_to_blocks(sum_, sign);
    }

  private:
    static constexpr int64_t ROWS = 64;  // of them at once: their panels stay in the first-level cache

    void flush() {
        if (held_) add_outer(couplings_, shape_, states_.data(), forces_.data(), held_, sum_);
        held_ = 0;
    }

    Shape shape_;
    const Couplings& couplings_;
    int64_t held_ = 0;
    Buffer sum_, states_, forces_;
};

static inline Buffer padded(const Shape& shape, const float* from) {
    Buffer to(shape.stride);
    copy_in(shape, from, 1, to.data());
    return to;
}

// Rows that one thread takes through all steps together: few enough that their states stay in the second-level cache,
// and at most 64, which is enough to hide the cost of reading the couplings; enough for every thread to have some; whole
// tiles.
static inline int64_t rows_per_chunk(const Run& run, const Shape& shape, int64_t states) {
    const int64_t fit = (int64_t(800) << 10) / (states * 4 * shape.stride);
    const int64_t most = std::min<int64_t>(64, std::max<int64_t>(TILE_ROWS, fit));
    const int64_t share = (run.batch + run.threads - 1) / run.threads;
    const int64_t chunks = (share + most - 1) / most;
    const int64_t rows = (share + chunks - 1) / std::max<int64_t>(1, chunks);
    return std::max<int64_t>(1, (rows + TILE_ROWS - 1) / TILE_ROWS) * TILE_ROWS;
}

// Multiplications that a step must have for each thread that shares it: less is done sooner than it is shared.
constexpr double WORTH_SHARING = 1 << 17;

// Threads for each chunk of `rows` samples, when there are `chunks` of them.
static inline int64_t threads_per_chunk(const Run& run, int64_t rows, int64_t chunks) {
    double products = 0;
    for (const Block* b = run.blocks; b < run.blocks + run.block_count; ++b)
        products += double(b->rows) * double(b->columns) * double(std::min(rows, run.batch));
    return std::max<int64_t>(1, std::min<int64_t>(run.threads / chunks, int64_t(products / WORTH_SHARING)));
}

// body(thread, first row, number of rows) for all chunks of the batch. The assignment of chunks to threads is fixed, so
// that a thread's sums over its chunks, and with them the gradients, are the same to the bit whenever the call is
// repeated. Threads that get no chunk help with the products of one.
template <class Body>
static void for_chunks(const Run& run, int64_t rows, Body&& body) {
    const int64_t chunks = (run.batch + rows - 1) / rows;
    if (!chunks) return;
    const int64_t workers = std::min(run.threads, chunks), members = threads_per_chunk(run, rows, chunks);
    const std::unique_ptr<Crew[]> crews(new Crew[workers]);
    std::atomic<bool> out_of_memory{false};
    for_workers(workers * members, [&](int64_t worker) {
        Crew& crew = crews[worker % workers];
        if (worker >= workers) return crew.help();
        Crew::mine() = members > 1 ? &crew : nullptr;
        try {
            for (int64_t chunk = worker; chunk < chunks; chunk += workers)
                body(worker, chunk * rows, std::min(rows, run.batch - chunk * rows));
        } catch (const std::bad_alloc&) {
            out_of_memory = true;
        }
        Crew::mine() = nullptr;
        crew.dismiss();
    });
    if (out_of_memory) throw std::bad_alloc();
}
