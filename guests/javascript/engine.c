/* The guest that runs JavaScript functions: QuickJS-ng behind the guest ABI (guests/ABI.md, "JavaScript").

   `load(ptr, size)` takes the script once, with how it is to be called in front: entry, encoding, the file's name for
   messages, each ended by a NUL. `call(ptr, size)` then runs it on an input and returns a packed result. Whatever goes
   wrong ends the run by `waspi.fail`. */
#include "engine.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wasi/api.h>

#define EXPORT(name) __attribute__((export_name(name)))

__attribute__((import_module("waspi"), import_name("fail"))) _Noreturn void host_fail(int whose, const char *text, size_t length);

enum encoding { ENCODING_TEXT, ENCODING_BYTES, ENCODING_JSON, ENCODING_CBOR };
static const char *const encodings[] = {"text", "bytes", "json", "cbor"};

static JSRuntime *runtime;
static JSContext *context;
static JSValue function;
static enum encoding encoding;
static void *reserve; /* given back before a message about exhausted memory is made */
static bool memory_ran_out;

/* --- memory: that of the C library; a failure is remembered, since what QuickJS throws then need not say so ----------- */

static void *noted(void *got) {
  if (!got) memory_ran_out = true;
  return got;
}

static void *take_zeroed(void *opaque, size_t count, size_t size) { return (void)opaque, noted(calloc(count, size)); }
static void *take(void *opaque, size_t size) { return (void)opaque, noted(malloc(size)); }
static void give_back(void *opaque, void *block) { (void)opaque, free(block); }
static void *resize(void *opaque, void *block, size_t size) {
  return (void)opaque, size ? noted(realloc(block, size)) : (free(block), NULL);
}

static size_t size_of(const void *block) { return malloc_usable_size((void *)block); }

static const JSMallocFunctions memory_functions = {take_zeroed, take, give_back, resize, size_of};

/* --- endings ------------------------------------------------------------------------------------------------------ */

_Noreturn void fail(enum failure whose, const char *format, ...) {
  static char text[2048];
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  host_fail(whose, text, (size_t)length < sizeof text ? (size_t)length : sizeof text - 1);
}

/* A property as text; NULL when it has none, or reading it throws. */
static const char *text_of_property(JSContext *ctx, JSValueConst object, const char *name) {
  JSValue value = JS_GetPropertyStr(ctx, object, name);
  const char *text = JS_IsString(value) ? JS_ToCString(ctx, value) : NULL;
  JS_FreeValue(ctx, value);
  if (!text) JS_FreeValue(ctx, JS_GetException(ctx));
  return text;
}

/* `stack` has a line for each frame, "    at name (file:line:column)"; here they become one line. */
static void put_stack(struct bytes *out, const char *stack) {
  const char *between = " ";
  while (*stack) {
    while (*stack == ' ') stack++;
    size_t length = strcspn(stack, "\n");
    bool native = length >= 8 && !memcmp(stack + length - 8, "(native)", 8);
    if (length && !native) {
      put_text(out, between);
      put(out, stack, length);
      between = ", ";
    }
    stack += length + (stack[length] == '\n');
  }
}

#define MORE_MEMORY " (raise the memory limit or keep less)"

_Noreturn void fail_with_exception(JSContext *ctx, enum failure whose, const char *before) {
  struct bytes out = {0};
  free(reserve);
  JSValue thrown = JS_GetException(ctx);
  put_text(&out, before);
  if (JS_IsNull(thrown) && memory_ran_out) { /* what QuickJS throws when there is no memory for an error either */
    put_text(&out, "InternalError: out of memory" MORE_MEMORY);
  } else if (JS_IsError(thrown)) {
    const char *name = text_of_property(ctx, thrown, "name"), *message = text_of_property(ctx, thrown, "message");
    const char *stack = text_of_property(ctx, thrown, "stack");
    put_text(&out, name ? name : "Error");
    if (message && *message) put_text(&out, ": "), put_text(&out, message);
    if (message && !strcmp(message, "out of memory")) put_text(&out, MORE_MEMORY);
    if (stack && whose != FAILED_BY_PUBLISHER) put_stack(&out, stack);
  } else {
    const char *text = JS_ToCString(ctx, thrown);
    put_text(&out, "something that is no Error was thrown: ");
    put_text(&out, text ? text : "it cannot be shown");
  }
  put_byte(&out, 0);
  fail(whose, "%s", (char *)out.at);
}

/* --- start-up ----------------------------------------------------------------------------------------------------- */

static JSModuleDef *no_module(JSContext *ctx, const char *name, void *opaque, JSValueConst attributes) {
  (void)opaque, (void)attributes;
  JS_ThrowReferenceError(ctx, "a function is one file and cannot import '%s': bundle it (esbuild --bundle --format=esm)", name);
  return NULL;
}

/* Rejected promises that nobody has handled; those that still are there when the run ends are told in the log. */
static struct rejection {
  struct rejection *next;
  JSValue promise, reason;
} *rejections;

static void note_rejection(JSContext *ctx, JSValueConst promise, JSValueConst reason, bool handled, void *opaque) {
  (void)opaque;
  if (!handled) {
    struct rejection *new = malloc(sizeof *new);
    if (!new) return;
    *new = (struct rejection){rejections, JS_DupValue(ctx, promise), JS_DupValue(ctx, reason)};
    rejections = new;
    return;
  }
  for (struct rejection **link = &rejections; *link; link = &(*link)->next) {
    struct rejection *found = *link;
    if (JS_VALUE_GET_PTR(found->promise) != JS_VALUE_GET_PTR(promise)) continue;
    *link = found->next;
    JS_FreeValue(ctx, found->promise);
    JS_FreeValue(ctx, found->reason);
    free(found);
    return;
  }
}

static void tell_rejections(JSContext *ctx) {
  while (rejections) {
    struct rejection *told = rejections;
    rejections = told->next;
    const char *text = JS_ToCString(ctx, told->reason);
    fprintf(stderr, "a promise was rejected and nobody caught it: %s\n", text ? text : "(cannot be shown)");
    if (text) JS_FreeCString(ctx, text);
    else JS_FreeValue(ctx, JS_GetException(ctx));
    JS_FreeValue(ctx, told->promise);
    JS_FreeValue(ctx, told->reason);
    free(told);
  }
}

__attribute__((constructor)) static void start(void) {
  reserve = malloc(32 * 1024);
  runtime = JS_NewRuntime2(&memory_functions, NULL);
  context = runtime ? JS_NewContext(runtime) : NULL;
  if (!reserve || !context) fail(FAILED_BY_GUEST, "out of memory: JavaScript needs 2 MiB to start; raise the memory limit");
  bound_stack(runtime);
  JS_SetModuleLoaderFunc2(runtime, NULL, no_module, NULL, NULL);
  JS_SetHostPromiseRejectionTracker(runtime, note_rejection, NULL);
  add_random(context);
  add_console(context);
  add_text_codecs(context);
  start_clock();
}

/* --- the way of a run --------------------------------------------------------------------------------------------- */

EXPORT("alloc") void *engine_alloc(size_t size) {
  void *buffer = size < SIZE_MAX ? malloc(size + 1) : NULL; /* one more: QuickJS wants a NUL behind text */
  if (!buffer) fail(FAILED_BY_GUEST, "out of memory: there is no room for %zu bytes; raise the memory limit or send less", size);
  return buffer;
}

EXPORT("dealloc") void engine_dealloc(void *buffer, size_t size) {
  (void)size;
  free(buffer);
}

/* Run what waits in the queue of jobs, then give what `value` is, or what it was settled with. Takes `value`. */
static JSValue settled(JSContext *ctx, JSValue value, enum failure whose, const char *what) {
  if (JS_IsException(value)) fail_with_exception(ctx, whose, "");
  bool promise = JS_IsPromise(value);
  if (promise) JS_PromiseMarkAsHandled(ctx, value);
  for (JSContext *other; JS_IsJobPending(runtime);)
    if (JS_ExecutePendingJob(runtime, &other) < 0) fail_with_exception(other, whose, "");
  if (!promise) return value;
  JSPromiseStateEnum state = JS_PromiseState(ctx, value);
  if (state == JS_PROMISE_PENDING)
    fail(whose, "%s waits for a promise that nothing will settle: there are no timers and no I/O here", what);
  JSValue result = JS_PromiseResult(ctx, value);
  JS_FreeValue(ctx, value);
  if (state != JS_PROMISE_REJECTED) return result;
  JS_Throw(ctx, result);
  fail_with_exception(ctx, whose, "");
}

static bool find_encoding(const char *name, enum encoding *found) {
  for (size_t i = 0; i < sizeof encodings / sizeof *encodings; i++) {
    if (strcmp(name, encodings[i])) continue;
    *found = (enum encoding)i;
    return true;
  }
  return false;
}

/* What the script says of itself: `export const waspi = { encoding: "json" }`. */
static void read_description(JSContext *ctx, JSValueConst space, const char *asked) {
  JSPropertyEnum *names;
  uint32_t count;
  bool told = find_encoding(asked, &encoding);
  JSValue description = JS_GetPropertyStr(ctx, space, "waspi");
  if (JS_IsException(description)) fail_with_exception(ctx, FAILED_BY_MODULE, "");
  if (JS_IsUndefined(description)) return;
  if (!JS_IsObject(description)) fail(FAILED_BY_MODULE, "the script's export 'waspi' is no object");
  if (JS_GetOwnPropertyNames(ctx, &names, &count, description, JS_GPN_STRING_MASK | JS_GPN_ENUM_ONLY))
    fail_with_exception(ctx, FAILED_BY_MODULE, "");
  for (uint32_t i = 0; i < count; i++) {
    const char *key = JS_AtomToCString(ctx, names[i].atom);
    JSValue value = JS_GetProperty(ctx, description, names[i].atom);
    const char *text = JS_ToCString(ctx, value);
    enum encoding stated;
    if (!key || !text) fail_with_exception(ctx, FAILED_BY_MODULE, "");
    if (!strcmp(key, "input") || !strcmp(key, "output")) continue;
    if (strcmp(key, "encoding"))
      fail(FAILED_BY_MODULE, "the script's export 'waspi' has the unknown key '%s'; known are encoding, input, output", key);
    if (!find_encoding(text, &stated))
      fail(FAILED_BY_MODULE, "the script's encoding is '%s'; known are text, bytes, json, cbor", text);
    if (told && stated != encoding)
      fail(FAILED_BY_MODULE, "the script says encoding '%s', its description '%s': leave one of them out", text, asked);
    encoding = stated;
  }
}

EXPORT("load") void engine_load(char *buffer, size_t size) {
  JSContext *ctx = context;
  const char *entry = buffer, *asked = entry + strlen(entry) + 1, *file = asked + strlen(asked) + 1;
  char *source = (char *)file + strlen(file) + 1;
  size_t length = size - (size_t)(source - buffer);
  buffer[size] = 0;
  ptrdiff_t bad = not_utf8((const uint8_t *)source, length);
  if (bad >= 0) fail(FAILED_BY_MODULE, "the script is no UTF-8: byte %td is 0x%02x; save it as UTF-8", bad, (uint8_t)source[bad]);
  if (length >= 3 && !memcmp(source, "\xef\xbb\xbf", 3)) source += 3, length -= 3; /* a byte order mark */
  JSValue module = JS_Eval(ctx, source, length, file, JS_EVAL_TYPE_MODULE | JS_EVAL_FLAG_COMPILE_ONLY);
  if (JS_IsException(module)) fail_with_exception(ctx, FAILED_BY_MODULE, "");
  JSModuleDef *definition = JS_VALUE_GET_PTR(module);
  JS_FreeValue(ctx, settled(ctx, JS_EvalFunction(ctx, module), FAILED_BY_MODULE, "the script"));
  JSValue space = JS_GetModuleNamespace(ctx, definition);
  read_description(ctx, space, asked);
  function = JS_GetPropertyStr(ctx, space, entry);
  if (JS_IsException(function)) fail_with_exception(ctx, FAILED_BY_MODULE, "");
  if (!JS_IsFunction(ctx, function)) {
    if (!strcmp(entry, "default"))
      fail(FAILED_BY_MODULE, "the script has no default export that is a function: write `export default function (input) { ... }`");
    fail(FAILED_BY_MODULE, "the script has no export '%s' that is a function", entry);
  }
  JS_FreeValue(ctx, space);
  free(buffer);
}

/* Who runs this: { job, device, module, version } as far as the host says, from the environment (WASPI_JOB, ...). */
static JSValue run_context(JSContext *ctx) {
  static const char *const names[] = {"job", "device", "module", "version"};
  JSValue object = JS_NewObject(ctx);
  __wasi_size_t count, size;
  if (__wasi_environ_sizes_get(&count, &size) || !count) return object;
  uint8_t **strings = malloc(count * sizeof *strings), *text = malloc(size);
  if (!strings || !text || __wasi_environ_get(strings, text)) fail(FAILED_BY_GUEST, "out of memory: the environment has no room");
  for (__wasi_size_t i = 0; i < count; i++) {
    char *string = (char *)strings[i], *value = strchr(string, '=');
    if (!value || strncmp(string, "WASPI_", 6)) continue;
    for (size_t n = 0; n < sizeof names / sizeof *names; n++)
      if (strlen(names[n]) == (size_t)(value - string - 6) && !strncasecmp(names[n], string + 6, strlen(names[n])))
        JS_DefinePropertyValueStr(ctx, object, names[n], JS_NewString(ctx, value + 1), JS_PROP_C_W_E);
  }
  free(strings);
  free(text);
  return object;
}

/* QuickJS' parser of JSON calls itself for every level: the publisher must not be able to use up the stack. */
static void check_depth(const char *json, size_t size) {
  int depth = 0;
  bool inside = false; /* a string */
  for (size_t i = 0; i < size; i++) {
    if (inside) {
      if (json[i] == '\\') i++;
      else if (json[i] == '"') inside = false;
    } else if (json[i] == '"') inside = true;
    else if (json[i] == '[' || json[i] == '{') {
      if (++depth > MAX_DEPTH) fail(FAILED_BY_PUBLISHER, "the input has more than %d levels of arrays and objects", MAX_DEPTH);
    } else if (json[i] == ']' || json[i] == '}') depth--;
  }
}

static JSValue decode_input(JSContext *ctx, const char *input, size_t size) {
  ptrdiff_t bad;
  JSValue value;
  switch (encoding) {
    case ENCODING_BYTES:
      value = JS_NewUint8ArrayCopy(ctx, (const uint8_t *)input, size);
      break;
    case ENCODING_CBOR:
      return decode_cbor(ctx, (const uint8_t *)input, size);
    default:
      bad = not_utf8((const uint8_t *)input, size);
      if (bad >= 0)
        fail(FAILED_BY_PUBLISHER, "the input is no UTF-8: byte %td is 0x%02x; send text, or say encoding 'bytes'", bad, (uint8_t)input[bad]);
      if (encoding == ENCODING_JSON) check_depth(input, size);
      value = encoding == ENCODING_TEXT ? JS_NewStringLen(ctx, input, size) : JS_ParseJSON(ctx, input, size, "input");
  }
  if (JS_IsException(value))
    fail_with_exception(ctx, FAILED_BY_PUBLISHER, encoding == ENCODING_JSON ? "the input is no JSON: " : "the input cannot be taken in: ");
  return value;
}

static void encode_result(JSContext *ctx, struct bytes *out, JSValueConst value) {
  static const struct place top = {0};
  size_t length;
  const char *text;
  uint8_t *at;
  switch (encoding) {
    case ENCODING_TEXT:
      if (!JS_IsString(value))
        fail_at(&top, JS_IsUndefined(value) ? "undefined (is a return missing?)" : "no string, which encoding 'text' asks for: return a string, or export const waspi = { encoding: \"json\" }");
      text = utf8_of(ctx, value, &length, &top);
      put(out, text, length);
      JS_FreeCString(ctx, text);
      return;
    case ENCODING_BYTES:
      if (JS_GetTypedArrayType(value) != JS_TYPED_ARRAY_UINT8)
        fail_at(&top, JS_IsUndefined(value) ? "undefined (is a return missing?)" : "no Uint8Array, which encoding 'bytes' asks for");
      at = JS_GetUint8Array(ctx, &length, value);
      if (!at && length) fail_with_exception(ctx, FAILED_BY_GUEST, "");
      put(out, at, length);
      return;
    case ENCODING_JSON:
      encode_json(ctx, out, value);
      return;
    case ENCODING_CBOR:
      encode_cbor(ctx, out, value);
  }
}

EXPORT("call") uint64_t engine_call(char *input, size_t size) {
  JSContext *ctx = context;
  struct bytes out = {0};
  reseed();
  input[size] = 0;
  JSValue arguments[2] = {decode_input(ctx, input, size), run_context(ctx)};
  JSValue result = JS_Call(ctx, function, JS_UNDEFINED, 2, (JSValueConst *)arguments);
  result = settled(ctx, result, FAILED_BY_GUEST, "the function");
  encode_result(ctx, &out, result);
  tell_rejections(ctx);
  JS_FreeValue(ctx, result);
  JS_FreeValue(ctx, arguments[0]);
  JS_FreeValue(ctx, arguments[1]);
  if (!out.at) out.at = engine_alloc(0);
  return (uint64_t)(uintptr_t)out.at << 32 | out.length;
}
