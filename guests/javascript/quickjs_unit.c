/* QuickJS-ng as it is, and the three things that waspi wants otherwise: clock, random numbers, the stack's end. */
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "engine.h"

static bool clock_runs;

static int engine_gettimeofday(struct timeval *now, void *zone) {
  if (clock_runs) return gettimeofday(now, zone);
  *now = (struct timeval){0};
  return 0;
}

static int engine_clock_gettime(clockid_t clock, struct timespec *now) {
  if (clock_runs) return clock_gettime(clock, now);
  *now = (struct timespec){0};
  return 0;
}

#define gettimeofday engine_gettimeofday
#define clock_gettime engine_clock_gettime
#include "quickjs.c"
#undef gettimeofday
#undef clock_gettime

/* The linker puts the stack at the lowest addresses (--stack-first). What is left below this limit is for C functions
   that do not look how deep they are; the engine that runs this module has a stack of its own, which is longer. */
enum { STACK_END = 32 * 1024 };

void start_clock(void) { clock_runs = true; }

void bound_stack(JSRuntime *rt) { rt->stack_limit = STACK_END; }

static bool seeded;

void reseed(void) { seeded = false; }

static JSValue engine_random(JSContext *ctx, JSValueConst this_value, int argc, JSValueConst *argv) {
  if (!seeded) {
    uint64_t seed = 0;
    if (getentropy(&seed, sizeof seed)) return JS_ThrowInternalError(ctx, "the host gave no random numbers");
    ctx->random_state = seed ? seed : 1; /* xorshift stays at 0 for ever */
    seeded = true;
  }
  return js_math_random(ctx, this_value, argc, argv);
}

void add_random(JSContext *ctx) {
  JSValue global = JS_GetGlobalObject(ctx), math = JS_GetPropertyStr(ctx, global, "Math");
  JSValue random = JS_NewCFunction2(ctx, engine_random, "random", 0, JS_CFUNC_generic, 0);
  JS_DefinePropertyValueStr(ctx, math, "random", random, JS_PROP_WRITABLE | JS_PROP_CONFIGURABLE);
  JS_FreeValue(ctx, math);
  JS_FreeValue(ctx, global);
}
