// Products of states with couplings: out = x J for the blocks of J, and the gradient x^T a.
//
// J is packed once per call in panels of up to TILE_VECTORS vectors of columns; a panel holds those rows of J that some
// block fills. Every output is one sum in increasing order of rows, whatever the tile, the batch or the number of threads.
#pragma once

#include <algorithm>
#include <vector>

#include "vector.h"

struct Block {
    float* data;  // element (i, j) of the block at data[i * row_stride + j * column_stride]
    int64_t row, column, rows, columns, row_stride, column_stride;
};

struct Range {
    int64_t begin, end, offset;  // rows of J, and where they start in the packed data
};

struct Panel {
    int64_t vector, vectors;  // columns, in vectors
    std::vector<Range> ranges;
};

class Couplings {
  public:
    Couplings(const Shape& shape, const Block* blocks, int64_t count, bool transposed) : shape_(shape) {
        for (int64_t i = 0; i < count; ++i) {
            Block b = blocks[i];
            if (transposed) {
                std::swap(b.row, b.column);
                std::swap(b.rows, b.columns);
                std::swap(b.row_stride, b.column_stride);
            }
            if (b.rows && b.columns) blocks_.push_back(b);
        }
        int64_t size = 0;
        for (int64_t vector = 0; vector < shape.vectors;) {
            const int64_t left = shape.vectors - vector;
            const int64_t width = left == 4 ? 2 : std::min<int64_t>(left, TILE_VECTORS);
            Panel panel{vector, width, ranges(vector * LANES, (vector + width) * LANES)};
            for (Range& range : panel.ranges) {
                range.offset = size;
                size += (range.end - range.begin) * width * LANES;
            }
            panels_.push_back(panel);
            vector += width;
        }
        size_ = size;
    }

    bool empty() const { return blocks_.empty(); }
    size_t size() const { return size_; }
    const std::vector<Panel>& panels() const { return panels_; }

    Buffer pack() const {
        Buffer packed(size_);
        for_elements([&](float& here, int64_t at) { packed.data()[at] = here; });
        return packed;
    }

    // Adds packed values, times a factor, to the blocks.
    void add_to_blocks(const Buffer& packed, float factor) const {
        for_elements([&](float& here, int64_t at) { here += factor * packed.data()[at]; });
    }

  private:
    std::vector<Range> ranges(int64_t first, int64_t last) const {
        std::vector<Range> found;
        for (const Block& b : blocks_)
            if (b.column < last && first < b.column + b.columns) found.push_back({b.row, b.row + b.rows, 0});
        std::sort(found.begin(), found.end(), [](const Range& a, const Range& b) { return a.begin < b.begin; });
        std::vector<Range> merged;
        for (const Range& range : found) {
            if (!merged.empty() && range.begin <= merged.back().end)
                merged.back().end = std::max(merged.back().end, range.end);
            else
                merged.push_back(range);
        }
        return merged;
    }

    template <class Body>
    void for_elements(Body&& body) const {
        for (const Panel& panel : panels_) {
            const int64_t first = panel.vector * LANES, width = panel.vectors * LANES;
            for (const Block& b : blocks_) {
                const int64_t from = std::max(first, b.column), to = std::min(first + width, b.column + b.columns);
                if (from >= to) continue;
                for (const Range& range : panel.ranges) {
                    if (b.row < range.begin || b.row >= range.end) continue;
                    for (int64_t i = 0; i < b.rows; ++i)
                        for (int64_t j = from; j < to; ++j)
                            body(b.data[i * b.row_stride + (j - b.column) * b.column_stride],
                                 range.offset + (b.row + i - range.begin) * width + j - first);
                }
            }
        }
    }

    Shape shape_;
    std::vector<Block> blocks_;
    std::vector<Panel> panels_;
    size_t size_;
};

template <int ROWS, int VECTORS>
static void product_tile(const Panel& panel, const float* packed, const float* x, int64_t stride, float* out) {
    Floats sum[ROWS][VECTORS] = {};
    for (const Range& range : panel.ranges) {
        const float* w = packed + range.offset;
        for (int64_t k = range.begin; k < range.end; ++k, w += VECTORS * LANES) {
            Floats row[VECTORS];
            for (int v = 0; v < VECTORS; ++v) row[v] = load(w + v * LANES);
            for (int r = 0; r < ROWS; ++r) {
                const Floats factor = all(x[r * stride + k]);
                for (int v = 0; v < VECTORS; ++v) sum[r][v] = fma(factor, row[v], sum[r][v]);
            }
        }
    }
    for (int r = 0; r < ROWS; ++r)
        for (int v = 0; v < VECTORS; ++v) store(out + r * stride + v * LANES, sum[r][v]);
}

template <int VECTORS>
static void product_panel(const Panel& panel, const float* packed, const float* x, int64_t stride, int64_t rows,
                          float* out) {
    int64_t r = 0;
    for (; r + TILE_ROWS <= rows; r += TILE_ROWS)
        product_tile<TILE_ROWS, VECTORS>(panel, packed, x + r * stride, stride, out + r * stride);
    if (rows - r >= 4 && TILE_ROWS > 4) {
        product_tile<4, VECTORS>(panel, packed, x + r * stride, stride, out + r * stride);
        r += 4;
    }
    if (rows - r >= 2) {
        product_tile<2, VECTORS>(panel, packed, x + r * stride, stride, out + r * stride);
        r += 2;
    }
    if (rows - r >= 1) product_tile<1, VECTORS>(panel, packed, x + r * stride, stride, out + r * stride);
}

// out = x J, [rows, stride] each.
static void product(const Couplings& couplings, const Buffer& packed, const Shape& shape, const float* x, int64_t rows,
                    float* out) {
    for (const Panel& panel : couplings.panels()) {
        float* to = out + panel.vector * LANES;
        if (panel.vectors == 1) product_panel<1>(panel, packed.data(), x, shape.stride, rows, to);
        if (panel.vectors == 2) product_panel<2>(panel, packed.data(), x, shape.stride, rows, to);
        if (panel.vectors == 3) product_panel<3>(panel, packed.data(), x, shape.stride, rows, to);
    }
}

template <int ROWS, int VECTORS>
static void outer_tile(const float* x, const float* a, int64_t stride, int64_t count, float* out) {
    Floats sum[ROWS][VECTORS] = {};
    for (int64_t t = 0; t < count; ++t, x += stride, a += stride) {
        Floats row[VECTORS];
        for (int v = 0; v < VECTORS; ++v) row[v] = load(a + v * LANES);
        for (int r = 0; r < ROWS; ++r) {
            const Floats factor = all(x[r]);
            for (int v = 0; v < VECTORS; ++v) sum[r][v] = fma(factor, row[v], sum[r][v]);
        }
    }
    for (int r = 0; r < ROWS; ++r)
        for (int v = 0; v < VECTORS; ++v) {
            float* to = out + (r * VECTORS + v) * LANES;
            store(to, load(to) + sum[r][v]);
        }
}

template <int VECTORS>
static void outer_panel(const Panel& panel, const float* x, const float* a, int64_t stride, int64_t count, float* out) {
    for (const Range& range : panel.ranges) {
        float* to = out + range.offset;
        int64_t k = range.begin;
        for (; k + TILE_ROWS <= range.end; k += TILE_ROWS, to += TILE_ROWS * VECTORS * LANES)
            outer_tile<TILE_ROWS, VECTORS>(x + k, a, stride, count, to);
        for (; k < range.end; ++k, to += VECTORS * LANES) outer_tile<1, VECTORS>(x + k, a, stride, count, to);
    }
}

// Adds sum_t x_t^T a_t to the packed gradient; x and a are [count, stride].
static void add_outer(const Couplings& couplings, const Shape& shape, const float* x, const float* a, int64_t count,
                      Buffer& gradient) {
    for (const Panel& panel : couplings.panels()) {
        const float* columns = a + panel.vector * LANES;
        if (panel.vectors == 1) outer_panel<1>(panel, x, columns, shape.stride, count, gradient.data());
        if (panel.vectors == 2) outer_panel<2>(panel, x, columns, shape.stride, count, gradient.data());
        if (panel.vectors == 3) outer_panel<3>(panel, x, columns, shape.stride, count, gradient.data());
    }
}
