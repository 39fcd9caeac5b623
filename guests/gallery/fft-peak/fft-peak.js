// The strongest frequency of a vibration or a sound: Hann window, FFT, the peak between two bins by a parabola.
export const waspi = { encoding: "json" };

function fft(re, im) {
  const n = re.length;
  for (let i = 1, j = 0; i < n; i++) {
    let bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) [re[i], re[j], im[i], im[j]] = [re[j], re[i], im[j], im[i]];
  }
  for (let size = 2; size <= n; size *= 2)
    for (let start = 0; start < n; start += size)
      for (let k = 0; k < size / 2; k++) {
        const angle = (-2 * Math.PI * k) / size, a = start + k, b = a + size / 2;
        const x = re[b] * Math.cos(angle) - im[b] * Math.sin(angle), y = re[b] * Math.sin(angle) + im[b] * Math.cos(angle);
        re[b] = re[a] - x, im[b] = im[a] - y, re[a] += x, im[a] += y;
      }
}

export default function ({ samples, rate }) {
  if (!Array.isArray(samples) || samples.length < 8 || samples.length > 65536) throw new RangeError("8 to 65536 samples are needed");
  if (!samples.every(Number.isFinite) || !(rate > 0)) throw new TypeError("samples and rate must be numbers");
  const n = 2 ** Math.floor(Math.log2(samples.length));
  const mean = samples.slice(0, n).reduce((sum, each) => sum + each, 0) / n;
  const re = Float64Array.from({ length: n }, (_, i) => (samples[i] - mean) * (0.5 - 0.5 * Math.cos((2 * Math.PI * i) / n)));
  const im = new Float64Array(n);
  fft(re, im);
  const power = Array.from({ length: n / 2 }, (_, k) => re[k] ** 2 + im[k] ** 2);
  const peak = power.reduce((best, each, k) => (k > 0 && each > power[best] ? k : best), 1);
  const [left, middle, right] = [-1, 0, 1].map((step) => Math.log((power[peak + step] ?? 0) + 1e-30));
  const shift = (left - right) / (2 * (left - 2 * middle + right)) || 0;
  const total = power.reduce((sum, each) => sum + each, 0);
  return {
    frequency_hz: Number((((peak + shift) * rate) / n).toPrecision(5)),
    share: total > 0 ? Number(((power[peak - 1] + power[peak] + (power[peak + 1] ?? 0)) / total).toPrecision(3)) : 0,
  };
}
