// The steps of integrator "alternating" of thermotorch::langevin, see alternating.py: units of two colours,
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
    bool quick;  // with rounded products on a matrix unit, roots and normals would take most of the time

    explicit Units(const Langevin& p)
        : shape(p.run.units), bias(shape.stride), decay(shape.stride), gain(shape.stride), spread(shape.stride),
          stiffness(shape.stride), shift(shape.stride), quick(Product::on_tiles(p.run.precision)),
          colours_(shape.stride) {
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
        const Floats square = fma(load(stiffness.data() + i) * y, y, all(1.0f));
        return (quick ? y * inverse_root(square) : y / root(square)) - a;
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

#if THERMOTORCH_AMX
// Brings the couplings of panel p from the third-level cache to the second, a few lines at each of `calls` calls.
class Prefetch {
  public:
    Prefetch(const amx::Product& tiles, int64_t p, int64_t calls) {
        if (p == tiles.panels()) return;
        at_ = reinterpret_cast<const char*>(tiles.couplings(p));
        left_ = tiles.lines(p);
        each_ = (left_ + calls - 1) / calls;
    }

    void fetch() {
        for (int64_t line = std::min(left_, each_); line > 0; --line, --left_, at_ += amx::PITCH)
            _mm_prefetch(at_, _MM_HINT_T1);
    }

  private:
    const char* at_ = nullptr;
    int64_t left_ = 0, each_ = 0;
};
#endif

// Steps for the rows of one chunk, with room for what they need in between.
class Stepper {
  public:
    Stepper(const Langevin& p, const System& system, int64_t row, int64_t rows)
        : p_(p), system_(system), shape_(system.units.shape), ids_(p.run.ids + row), rows_(rows),
          push_(p.drive, shape_, system.units.bias.data(), row, rows), field_(rows * shape_.stride) {}

    // Before steps that do not begin where the last one ended.
    void start([[maybe_unused]] const float* x) {
#if THERMOTORCH_AMX
        for (int c = 0; c < 2; ++c)
            if (const amx::Product* tiles = read_by(c)) {
                seen_[c].resize(shape_, rows_, tiles->pieces());
                for (int64_t r = 0; r < rows_; ++r)
                    for (int64_t i = 0; i < shape_.vectors * LANES; i += LANES)
                        seen_[c].set(r, i, system_.units.select(c, i, load(x + r * shape_.stride + i), Floats{}));
            }
#endif
    }

    // One step of x in place.
    void step(int64_t k, float* x) {
        push_.load_step(k);
        const Run& run = p_.run;
        const NoiseStep at(run.seed, run.stream, uint64_t(run.start_step + k), system_.units.quick);
        for (int c = 1; c >= 0; --c) {
#if THERMOTORCH_AMX
            if (const amx::Product* tiles = system_.fields[c].couplings.tiles()) {
                on_tiles(c, *tiles, at, x);
                continue;
            }
#endif
            const Product& couplings = system_.fields[c].couplings;
            const float* field = couplings.empty() ? nullptr : field_.data();
            if (field) couplings(x, rows_, field_.data());
            for_normals(shape_, ids_, rows_, at, [&](int64_t r, int64_t i, Floats xi) {
                const int64_t here = r * shape_.stride + i;
                move(c, r, i, xi, field ? field + here : nullptr, x + here);
            }, system_.units.wanted(c));
        }
    }

  private:
    // A vector of units of row r, in the field of the other colour; returns their new states.
    Floats move(int c, int64_t r, int64_t i, Floats xi, const float* field, float* x) const {
        const Units& units = system_.units;
        const Floats old = load(x), pushed = load(push_.row(r) + i);
        const Floats force = field ? pushed - load(field) : pushed;
        const Floats rest = load(units.decay.data() + i) * units.relax(old, i);
        const Floats mean = fma(load(units.gain.data() + i), force, rest);
        const Floats next = units.relax(fma(load(units.spread.data() + i), xi, mean), i);
        store(x, units.select(c, i, next, old));
        return next;
    }

#if THERMOTORCH_AMX
    // The couplings that read the states of colour c, null if none do or if not on tiles.
    const amx::Product* read_by(int c) const {
        const Product& couplings = system_.fields[1 - c].couplings;
        return couplings.empty() ? nullptr : couplings.tiles();
    }

    // The units of colour c panel by panel: a field of 32 samples by 32 units goes from the tiles through the first-level
    // cache into the new states and their pieces for the next product. Only pieces of the other colour are read.
    void on_tiles(int c, const amx::Product& tiles, const NoiseStep& at, float* x) {
        const uint8_t* wanted = system_.units.wanted(c);
        const bool seen = read_by(c);
        with_help(tiles.panels(), [&](int64_t p) {
            const int64_t first = tiles.vector(p), last = first + tiles.vectors(p);
            if (std::none_of(wanted + first, wanted + last, [](uint8_t any) { return any; })) return;
            constexpr int64_t WIDTH = amx::WIDTH * LANES;
            alignas(64) float field[2 * amx::HEIGHT * WIDTH];
            const bool coupled = !tiles.empty(p);
            Prefetch next(tiles, p + 1, rows_ * (last - first));
            amx::for_samples(rows_, [&](int64_t row, int64_t count) {
                if (coupled) tiles.field(p, seen_[1 - c], row, count, field, WIDTH);
                for_normals_of(first, last, ids_ + row, count, at, [&](int64_t r, int64_t i, Floats xi) {
                    const float* of_unit = coupled ? field + r * WIDTH + i - first * LANES : nullptr;
                    next.fetch();
                    const Floats moved = move(c, row + r, i, xi, of_unit, x + (row + r) * shape_.stride + i);
                    if (seen) seen_[c].set(row + r, i, system_.units.select(c, i, moved, Floats{}));
                }, wanted);
            });
        });
    }

    amx::States seen_[2];  // the states of either colour, zero elsewhere, as the couplings of the other read them
#endif

    const Langevin& p_;
    const System& system_;
    const Shape& shape_;
    const int64_t* ids_;
    int64_t rows_;
    langevin::Push push_;
    Buffer field_;
};

}  // namespace alternating
