//! The host calls alloc, writes the input there, calls the entry, and reads the result at the same place.

const std = @import("std");

const allocator = std.heap.wasm_allocator;

export fn alloc(size: usize) [*]u8 {
    const buffer = allocator.alloc(u8, @max(size, 1)) catch @trap();
    return buffer.ptr;
}

export fn dealloc(pointer: [*]u8, size: usize) void {
    allocator.free(pointer[0..@max(size, 1)]);
}

/// Upper case, in place. Returns the size of the result.
export fn run(pointer: [*]u8, size: usize) usize {
    for (pointer[0..size]) |*letter| letter.* = std.ascii.toUpper(letter.*);
    return size;
}
