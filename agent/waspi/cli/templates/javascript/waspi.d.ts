// Types of a function for waspi. In a script:
//
//     /// <reference path="waspi.d.ts" />
//     /** @type {Waspi.Function<{ readings: number[] }, { mean: number }>} */
//     export default function ({ readings }, context) { ... }

declare namespace Waspi {
  /** `export const waspi = { encoding: "json" }`: what the script says of itself. */
  interface Description {
    /** What input and result are: a string, a Uint8Array, or a value. The default is "text". */
    encoding?: "text" | "bytes" | "json" | "cbor";
    /** For people and tools. */
    input?: string;
    output?: string;
  }

  /** Who runs the function, as far as it is known. */
  interface Context {
    job?: string;
    device?: string;
    module?: string;
    version?: string;
  }

  type Function<Input = unknown, Output = unknown> = (input: Input, context: Context) => Output | Promise<Output>;
}

declare const console: Record<"log" | "info" | "debug" | "warn" | "error" | "trace", (...values: unknown[]) => void> & {
  assert(condition: unknown, ...values: unknown[]): void;
};
declare const performance: { now(): number; readonly timeOrigin: number };
declare function queueMicrotask(callback: () => void): void;
declare function atob(text: string): string;
declare function btoa(text: string): string;
declare class TextEncoder {
  readonly encoding: "utf-8";
  encode(text?: string): Uint8Array;
}
declare class TextDecoder {
  constructor(label?: "utf-8" | "utf8", options?: { fatal?: boolean });
  readonly encoding: "utf-8";
  readonly fatal: boolean;
  decode(bytes?: ArrayBuffer | ArrayBufferView): string;
}
