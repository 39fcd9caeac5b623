/* console.*, which goes to the job's log, and TextEncoder and TextDecoder for UTF-8 (WHATWG Encoding). */
#include "engine.h"

#include <string.h>
#include <unistd.h>

static void show(JSContext *ctx, JSValueConst value);

static void write_log(const char *text, size_t length) {
  while (length) {
    ssize_t written = write(STDERR_FILENO, text, length);
    if (written <= 0) return;
    text += written;
    length -= (size_t)written;
  }
}

static void write_value(JSContext *ctx, JSValueConst value) {
  size_t length;
  const char *text = JS_ToCStringLen(ctx, &length, value);
  if (text) {
    write_log(text, length);
    JS_FreeCString(ctx, text);
  } else {
    JS_FreeValue(ctx, JS_GetException(ctx));
    write_log("(cannot be shown)", 17);
  }
}

/* Text as it is, errors with their stack, objects as JSON where that works. */
static void show(JSContext *ctx, JSValueConst value) {
  if (JS_IsError(value)) {
    write_value(ctx, value);
    JSValue stack = JS_GetPropertyStr(ctx, value, "stack");
    if (JS_IsString(stack)) {
      write_log("\n", 1);
      write_value(ctx, stack);
    }
    if (JS_IsException(stack)) JS_FreeValue(ctx, JS_GetException(ctx));
    JS_FreeValue(ctx, stack);
    return;
  }
  if (JS_IsObject(value) && !JS_IsFunction(ctx, value)) {
    JSValue json = JS_JSONStringify(ctx, value, JS_UNDEFINED, JS_UNDEFINED);
    bool shown = JS_IsString(json);
    if (shown) write_value(ctx, json);
    if (JS_IsException(json)) JS_FreeValue(ctx, JS_GetException(ctx));
    JS_FreeValue(ctx, json);
    if (shown) return;
  }
  if (JS_IsSymbol(value)) {
    JSValue description = JS_GetPropertyStr(ctx, value, "description");
    write_log("Symbol(", 7);
    if (JS_IsString(description)) write_value(ctx, description);
    write_log(")", 1);
    JS_FreeValue(ctx, description);
    return;
  }
  write_value(ctx, value);
}

static JSValue console_log(JSContext *ctx, JSValueConst this_value, int argc, JSValueConst *argv) {
  (void)this_value;
  for (int i = 0; i < argc; i++) {
    if (i) write_log(" ", 1);
    show(ctx, argv[i]);
  }
  write_log("\n", 1);
  return JS_UNDEFINED;
}

static JSValue console_assert(JSContext *ctx, JSValueConst this_value, int argc, JSValueConst *argv) {
  if (argc && JS_ToBool(ctx, argv[0])) return JS_UNDEFINED;
  write_log("assertion failed: ", 18);
  return console_log(ctx, this_value, argc ? argc - 1 : 0, argv + 1);
}

void add_console(JSContext *ctx) {
  static const JSCFunctionListEntry functions[] = {
      JS_CFUNC_DEF("log", 1, console_log),   JS_CFUNC_DEF("info", 1, console_log),
      JS_CFUNC_DEF("debug", 1, console_log), JS_CFUNC_DEF("warn", 1, console_log),
      JS_CFUNC_DEF("error", 1, console_log), JS_CFUNC_DEF("trace", 1, console_log),
      JS_CFUNC_DEF("assert", 1, console_assert),
  };
  JSValue global = JS_GetGlobalObject(ctx), console = JS_NewObject(ctx);
  JS_SetPropertyFunctionList(ctx, console, functions, sizeof functions / sizeof *functions);
  JS_DefinePropertyValueStr(ctx, global, "console", console, JS_PROP_WRITABLE | JS_PROP_CONFIGURABLE);
  JS_FreeValue(ctx, global);
}

static JSValue encoder_encode(JSContext *ctx, JSValueConst this_value, int argc, JSValueConst *argv) {
  size_t length;
  (void)this_value;
  JSValue text = argc && !JS_IsUndefined(argv[0]) ? JS_DupValue(ctx, argv[0]) : JS_NewString(ctx, "");
  JSValue formed = JS_IsString(text) ? text : JS_ToString(ctx, text);
  if (!JS_IsString(text)) JS_FreeValue(ctx, text);
  if (JS_IsException(formed)) return formed;
  JSAtom well_formed = JS_NewAtom(ctx, "toWellFormed");
  JSValue whole = JS_Invoke(ctx, formed, well_formed, 0, NULL);
  JS_FreeAtom(ctx, well_formed);
  JS_FreeValue(ctx, formed);
  const char *bytes = JS_IsException(whole) ? NULL : JS_ToCStringLen(ctx, &length, whole);
  JS_FreeValue(ctx, whole);
  if (!bytes) return JS_EXCEPTION;
  JSValue array = JS_NewUint8ArrayCopy(ctx, (const uint8_t *)bytes, length);
  JS_FreeCString(ctx, bytes);
  return array;
}

/* The bytes of an ArrayBuffer, a typed array or a DataView; false with an exception pending. */
static bool bytes_of(JSContext *ctx, JSValueConst value, const uint8_t **at, size_t *length) {
  size_t offset = 0, whole = 0;
  if (JS_IsArrayBuffer(value)) {
    *at = JS_GetArrayBuffer(ctx, length, value);
    return *at || !*length;
  }
  if (JS_GetTypedArrayType(value) < 0) {
    JS_ThrowTypeError(ctx, "decode takes an ArrayBuffer or a typed array");
    return false;
  }
  size_t each;
  JSValue buffer = JS_GetTypedArrayBuffer(ctx, value, &offset, length, &each);
  if (JS_IsException(buffer)) return false;
  uint8_t *start = JS_GetArrayBuffer(ctx, &whole, buffer);
  JS_FreeValue(ctx, buffer); /* the view keeps it */
  *at = start + offset;
  return start || !whole;
}

/* Ill-formed bytes become U+FFFD, unless the decoder was made fatal. */
static JSValue decoder_decode(JSContext *ctx, JSValueConst this_value, int argc, JSValueConst *argv) {
  const uint8_t *at = (const uint8_t *)"";
  size_t length = 0;
  if (argc && !JS_IsUndefined(argv[0]) && !bytes_of(ctx, argv[0], &at, &length)) return JS_EXCEPTION;
  JSValue fatal = JS_GetPropertyStr(ctx, this_value, "fatal");
  bool strict = JS_ToBool(ctx, fatal) > 0;
  JS_FreeValue(ctx, fatal);
  if (strict && not_utf8(at, length) >= 0) return JS_ThrowTypeError(ctx, "the bytes are no UTF-8");
  if (length >= 3 && !memcmp(at, "\xef\xbb\xbf", 3)) at += 3, length -= 3;
  return JS_NewStringLen(ctx, (const char *)at, length);
}

static JSValue new_codec(JSContext *ctx, JSValueConst target, int argc, JSValueConst *argv, int decodes) {
  JSValue prototype = JS_GetPropertyStr(ctx, target, "prototype");
  JSValue codec = JS_NewObjectProto(ctx, prototype);
  JS_FreeValue(ctx, prototype);
  JS_DefinePropertyValueStr(ctx, codec, "encoding", JS_NewString(ctx, "utf-8"), JS_PROP_ENUMERABLE);
  if (!decodes) return codec;
  if (argc && JS_IsString(argv[0])) {
    const char *label = JS_ToCString(ctx, argv[0]);
    bool known = label && (!strcasecmp(label, "utf-8") || !strcasecmp(label, "utf8"));
    JS_FreeCString(ctx, label);
    if (!known) {
      JS_FreeValue(ctx, codec);
      return JS_ThrowRangeError(ctx, "TextDecoder knows utf-8 only");
    }
  }
  JSValue fatal = argc > 1 && JS_IsObject(argv[1]) ? JS_GetPropertyStr(ctx, argv[1], "fatal") : JS_UNDEFINED;
  JS_DefinePropertyValueStr(ctx, codec, "fatal", JS_NewBool(ctx, JS_ToBool(ctx, fatal) > 0), JS_PROP_ENUMERABLE);
  JS_FreeValue(ctx, fatal);
  return codec;
}

static void add_codec(JSContext *ctx, const char *name, const char *method, JSCFunction *act, int decodes) {
  JSValue global = JS_GetGlobalObject(ctx), prototype = JS_NewObject(ctx);
  JSCFunctionType make = {.constructor_magic = new_codec};
  JSValue constructor = JS_NewCFunction2(ctx, make.generic, name, decodes, JS_CFUNC_constructor_magic, decodes);
  JS_DefinePropertyValueStr(ctx, prototype, method, JS_NewCFunction(ctx, act, method, 1), JS_PROP_C_W_E);
  JS_SetConstructor(ctx, constructor, prototype);
  JS_FreeValue(ctx, prototype);
  JS_DefinePropertyValueStr(ctx, global, name, constructor, JS_PROP_WRITABLE | JS_PROP_CONFIGURABLE);
  JS_FreeValue(ctx, global);
}

void add_text_codecs(JSContext *ctx) {
  add_codec(ctx, "TextEncoder", "encode", encoder_encode, 0);
  add_codec(ctx, "TextDecoder", "decode", decoder_decode, 1);
}
