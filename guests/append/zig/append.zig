//! The reference guest in Zig: appends "<---- This is your string" in place.

const std = @import("std");

const suffix = "<---- This is your string";
const allocator = std.heap.wasm_allocator;

/// Address of a fresh buffer of `size` bytes; traps when there is no memory left.
export fn alloc(size: usize) [*]u8 {
    const buffer = allocator.alloc(u8, @max(size, 1)) catch @trap();
    return buffer.ptr;
}

/// Takes back what `alloc(size)` gave.
export fn dealloc(pointer: [*]u8, size: usize) void {
    allocator.free(pointer[0..@max(size, 1)]);
}

/// Reads `size` bytes at `pointer`, writes the result to the same place and returns its size.
export fn append(pointer: [*]u8, size: usize) usize {
    @memcpy(pointer[size .. size + suffix.len], suffix);
    return size + suffix.len;
}
