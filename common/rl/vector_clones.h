#pragma once

// Marks a function whose loops are compiled for several instruction sets; the best one is picked when the
// program is loaded, so that one binary serves every x86-64 machine.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define DEMORL_VECTOR_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define DEMORL_VECTOR_CLONES
#endif
