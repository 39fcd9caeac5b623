// The host calls alloc, writes the input there, calls the entry, and reads the result at the same place.
package main

import (
	"bytes"
	"unsafe"
)

// What the host holds must not be collected.
var buffers = map[uint32][]byte{}

//go:wasmexport alloc
func alloc(size uint32) uint32 {
	buffer := make([]byte, max(size, 1))
	pointer := uint32(uintptr(unsafe.Pointer(&buffer[0])))
	buffers[pointer] = buffer
	return pointer
}

//go:wasmexport dealloc
func dealloc(pointer, size uint32) {
	delete(buffers, pointer)
}

// Upper case, in place. Returns the size of the result.
//
//go:wasmexport run
func run(pointer, size uint32) uint32 {
	buffer := buffers[pointer][:size]
	return uint32(copy(buffer, bytes.ToUpper(buffer)))
}

func main() {}
