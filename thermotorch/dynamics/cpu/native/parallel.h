// Threads. On Linux they are those of torch's own OpenMP pool, which torch has loaded for the whole process: after an
// operator of torch these stay awake for some milliseconds, and threads of our own would share the cores with them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <system_error>
#include <thread>
#include <vector>

#if defined(__linux__)
// Null where torch came without them.
extern "C" {
void GOMP_parallel(void (*body)(void*), void* data, unsigned threads, unsigned flags) __attribute__((weak));
int omp_get_thread_num() __attribute__((weak));
int omp_get_num_threads() __attribute__((weak));
}
#endif

// body(worker) for all workers, each on a thread of its own as far as the system gives them, else after workers of
// lower number. `body` does not throw.
template <class Body>
static void for_workers(int64_t workers, Body&& body) {
    if (workers <= 1) return body(0);
#if defined(__linux__)
    if (GOMP_parallel && omp_get_thread_num && omp_get_num_threads) {
        struct Call {
            Body& body;
            int64_t workers;
        } call{body, workers};
        const auto share = [](void* data) {
            const Call& call = *static_cast<Call*>(data);
            for (int64_t worker = omp_get_thread_num(); worker < call.workers; worker += omp_get_num_threads())
                call.body(worker);
        };
        return GOMP_parallel(share, &call, unsigned(workers), 0);
    }
#endif
    std::vector<std::thread> helpers;
    helpers.reserve(workers);
    int64_t started = 1;
    try {
        for (; started < workers; ++started) helpers.emplace_back([&body, started] { body(started); });
    } catch (const std::system_error&) {  // the system has no thread left: the rest is done here
    }
    body(0);
    for (; started < workers; ++started) body(started);
    for (std::thread& helper : helpers) helper.join();
}
