// Threads that help another one with its products, when there are fewer chunks of samples than threads.
//
// Threads take pieces as they are free, so that a helper without processor time delays no other, and none has to start.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <type_traits>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

class Crew {
  public:
    // body(i) for i = 0 ... count - 1, by the caller and those that help.
    template <class Body>
    void share(int64_t count, Body&& body) {
        piece_ = [](void* data, int64_t i) { (*static_cast<std::remove_reference_t<Body>*>(data))(i); };
        data_ = &body;
        done_.store(0, std::memory_order_relaxed);
        left_.store(count, std::memory_order_release);
        while (take()) {
        }
        for (int64_t waited = 0; done_.load(std::memory_order_acquire) < count; ++waited) rest(waited);
    }

    // Until it is dismissed.
    void help() {
        for (int64_t waited = 0; !dismissed_.load(std::memory_order_acquire);) waited = take() ? 0 : rest(waited) + 1;
    }

    void dismiss() { dismissed_.store(true, std::memory_order_release); }

    // The one that helps this thread, or null.
    static Crew*& mine() {
        static thread_local Crew* crew = nullptr;
        return crew;
    }

  private:
    bool take() {
        int64_t left = left_.load(std::memory_order_acquire);
        do {
            if (left <= 0) return false;
        } while (!left_.compare_exchange_weak(left, left - 1, std::memory_order_acq_rel));
        piece_(data_, left - 1);  // the caller of `share` waits for it, so these are still its own
        done_.fetch_add(1, std::memory_order_release);
        return true;
    }

    static int64_t rest(int64_t waited) {
        constexpr int64_t PATIENCE = 4000;  // about what a step takes
        if (waited > PATIENCE) std::this_thread::yield();
#if defined(__SSE2__)
        _mm_pause();
#endif
        return waited;
    }

    void (*piece_)(void*, int64_t) = nullptr;
    void* data_ = nullptr;
    alignas(64) std::atomic<int64_t> left_{0};
    alignas(64) std::atomic<int64_t> done_{0};
    std::atomic<bool> dismissed_{false};
};

// body(i) for i = 0 ... count - 1, with the help that this thread has.
template <class Body>
static void with_help(int64_t count, Body&& body) {
    if (Crew* crew = Crew::mine()) return crew->share(count, body);
    for (int64_t i = 0; i < count; ++i) body(i);
}
