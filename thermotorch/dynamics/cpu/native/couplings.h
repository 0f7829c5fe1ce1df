// The couplings of one call, packed for products.
//
// J is packed once per call in panels of up to TILE_VECTORS vectors of columns, or of a few columns where samples are
// in the lanes (lanes.h); a panel holds those rows of J that some block fills.
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
    int64_t vector, vectors;  // columns, in vectors of so many lanes
    std::vector<Range> ranges;
    int64_t kind;  // panels of one kind have the same ranges of rows
};

class Couplings {
  public:
    // `window`: so many vectors of columns have their rows in common, and no panel lies in two windows; 0: each panel
    // has rows of its own.
    Couplings(const Shape& shape, const Block* blocks, int64_t count, bool transposed, int64_t lanes = LANES,
              int64_t most = TILE_VECTORS, int64_t window = 0)
        : lanes_(lanes) {
        for (int64_t i = 0; i < count; ++i) {
            Block b = blocks[i];
            if (transposed) {
                std::swap(b.row, b.column);
                std::swap(b.rows, b.columns);
                std::swap(b.row_stride, b.column_stride);
            }
            if (b.rows && b.columns) blocks_.push_back(b);
        }
        const int64_t vectors = (shape.units + lanes - 1) / lanes;
        for (int64_t first = 0; first < vectors; first += window ? window : vectors) {
            const int64_t last = window ? std::min(first + window, vectors) : vectors;
            int64_t panels = (last - first + most - 1) / most;
            for (int64_t vector = first; vector < last; --panels) {
                const int64_t width = (last - vector + panels - 1) / panels;
                const int64_t from = window ? first : vector, to = window ? last : vector + width;
                Panel panel{vector, width, ranges(from * lanes, to * lanes), 0};
                panel.kind = kind(panel.ranges);
                for (Range& range : panel.ranges) {
                    range.offset = size_;
                    size_ += (range.end - range.begin) * width * lanes;
                }
                panels_.push_back(panel);
                vector += width;
            }
        }
    }

    bool empty() const { return blocks_.empty(); }
    size_t size() const { return size_; }
    const std::vector<Panel>& panels() const { return panels_; }
    const std::vector<std::vector<Range>>& kinds() const { return kinds_; }

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
    static constexpr int64_t ROWS_AT_ONCE = 16;  // a transposed block is read along its rows, a cache line at a time

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

    int64_t kind(const std::vector<Range>& ranges) {
        const auto same = [&](const std::vector<Range>& other) {
            return std::equal(ranges.begin(), ranges.end(), other.begin(), other.end(),
                              [](const Range& a, const Range& b) { return a.begin == b.begin && a.end == b.end; });
        };
        const int64_t found = std::find_if(kinds_.begin(), kinds_.end(), same) - kinds_.begin();
        if (found == int64_t(kinds_.size())) kinds_.push_back(ranges);
        return found;
    }

    template <class Body>
    void for_elements(Body&& body) const {
        for (const Panel& panel : panels_) {
            const int64_t first = panel.vector * lanes_, width = panel.vectors * lanes_;
            for (const Block& b : blocks_) {
                const int64_t from = std::max(first, b.column), to = std::min(first + width, b.column + b.columns);
                if (from >= to) continue;
                for (const Range& range : panel.ranges) {
                    if (b.row < range.begin || b.row >= range.end) continue;
                    const int64_t at = range.offset + (b.row - range.begin) * width - first;
                    auto element = [&](int64_t i, int64_t j, int64_t across) {
                        body(b.data[i * b.row_stride + (j - b.column) * across], at + i * width + j);
                    };
                    for (int64_t begin = 0; begin < b.rows; begin += ROWS_AT_ONCE) {
                        const int64_t end = std::min(begin + ROWS_AT_ONCE, b.rows);
                        if (b.column_stride == 1) {
                            for (int64_t i = begin; i < end; ++i)
                                for (int64_t j = from; j < to; ++j) element(i, j, 1);
                        } else {
                            for (int64_t j = from; j < to; ++j)
                                for (int64_t i = begin; i < end; ++i) element(i, j, b.column_stride);
                        }
                    }
                }
            }
        }
    }

    int64_t lanes_;
    std::vector<Block> blocks_;
    std::vector<Panel> panels_;
    std::vector<std::vector<Range>> kinds_;
    size_t size_ = 0;
};
