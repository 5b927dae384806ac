// Numbers and counts in words, the same everywhere.

export const activation = (value: number): string => {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size >= 10000 || size < 0.001)) return value.toExponential(1).replace("e+", "e").replace("-", "−");
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2).replace("-", "−");
};

export const percent = (share: number | null): string => {
  if (share === null || !Number.isFinite(share)) return "–";
  const hundredths = 100 * share;
  if (hundredths > 0 && hundredths < 0.1) return "< 0.1\u00a0%";
  if (hundredths > 99.9 && hundredths < 100) return "> 99.9\u00a0%";
  return `${hundredths >= 99.95 || hundredths === 0 ? hundredths.toFixed(0) : hundredths.toFixed(1)}\u00a0%`;
};

const english = new Intl.NumberFormat("en"); // toLocaleString would make one at every call
export const whole = (count: number): string => english.format(count);

export const counted = (count: number, noun: string, plural = `${noun}s`): string => `${whole(count)} ${count === 1 ? noun : plural}`;

export const shape = (sizes: readonly number[]): string =>
  sizes.length === 3 ? `${sizes[1]} × ${sizes[2]}, ${counted(sizes[0] ?? 0, "unit")}` : counted(sizes[0] ?? 0, "unit");

// "0:12" or "1:02:03"
export const duration = (seconds: number): string => {
  const rest = Math.max(0, Math.round(seconds));
  const [hours, minutes, last] = [Math.floor(rest / 3600), Math.floor(rest / 60) % 60, rest % 60];
  const two = (value: number) => String(value).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(last)}` : `${minutes}:${two(last)}`;
};
