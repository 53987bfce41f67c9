/* Where C goes, told to libFuzzer: coverage_edge is called at each of its edges.
 *
 * libFuzzer counts in counters that it is shown, one for each edge, beside a table of where they lie. An edge finds its
 * counter here by its address; two may share one, which hides some of what is new and invents nothing.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define COUNTERS (1 << 15)

static uint8_t counters[COUNTERS];
static struct { uintptr_t at, flags; } places[COUNTERS];

__attribute__((weak)) void __sanitizer_cov_8bit_counters_init(uint8_t *start, uint8_t *end);
__attribute__((weak)) void __sanitizer_cov_pcs_init(const uintptr_t *start, const uintptr_t *end);

void coverage_edge(void)
{
    uint32_t place = (uint32_t)((uintptr_t)__builtin_return_address(0) >> 1) * 2654435761u;
    counters[place >> 17]++;
}

/* To be called once; without libFuzzer in the process it does nothing. */
void coverage_begin(void)
{
    if (!__sanitizer_cov_8bit_counters_init || !__sanitizer_cov_pcs_init)
        return;
    for (size_t number = 0; number < COUNTERS; number++)
        places[number].at = (uintptr_t)counters + number;
    __sanitizer_cov_8bit_counters_init(counters, counters + COUNTERS);
    __sanitizer_cov_pcs_init((const uintptr_t *)places, (const uintptr_t *)(places + COUNTERS));
}

/* Copies the counters to where COUNTERS bytes fit, and begins anew. */
void coverage_take(uint8_t *into)
{
    memcpy(into, counters, sizeof counters);
    memset(counters, 0, sizeof counters);
}
