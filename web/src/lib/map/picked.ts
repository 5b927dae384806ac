// The images that were chosen on a map, as text for the address: the gaps between their rows, five bits a letter, and
// after a dot how many rows follow without a gap.

const LETTERS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
const MORE = 32; // the number goes on in the next letter
const RUN = ".";
const WORTH = 3; // rows without a gap that are told together

export const LONGEST = 100_000; // letters that an address may have for them: browsers cut off, or slow down, far beyond

function number(value: number): string {
  let text = "";
  for (; value >= MORE; value = Math.floor(value / MORE)) text += LETTERS[MORE + (value % MORE)];
  return text + LETTERS[value];
}

// rows: in rising order
export function written(rows: readonly number[]): string {
  let [text, last] = ["", -1];
  for (let at = 0; at < rows.length; at += 1) {
    const row = rows[at] as number;
    text += number(row - last - 1);
    let run = 0;
    while (rows[at + run + 1] === row + run + 1) run += 1;
    if (run < WORTH) run = 0;
    else text += RUN + number(run);
    at += run;
    last = row + run;
  }
  return text;
}

// Without those that an atlas of so many images does not have; none where the text is something else.
export function read(text: string | undefined, count: number): number[] {
  const rows: number[] = [];
  let [last, sum, place, run] = [-1, 0, 1, false];
  for (const letter of text ?? "") {
    if (letter === RUN) {
      run = true;
      continue;
    }
    const value = LETTERS.indexOf(letter);
    if (value < 0) return [];
    sum += (value % MORE) * place;
    place *= MORE;
    if (value >= MORE) continue;
    for (let step = run ? 1 : sum + 1; step <= (run ? sum : sum + 1); step += 1) {
      if (!(last + step < count)) return rows;
      rows.push(last + step);
    }
    last += run ? sum : sum + 1;
    [sum, place, run] = [0, 1, false];
  }
  return rows;
}
