// The images that were chosen on a map, as text for the address: the gaps between their rows, five bits a letter.

const LETTERS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
const MORE = 32; // the gap goes on in the next letter

// rows: in rising order
export function written(rows: readonly number[]): string {
  let [text, last] = ["", -1];
  for (const row of rows) {
    let gap = row - last - 1;
    for (; gap >= MORE; gap = Math.floor(gap / MORE)) text += LETTERS[MORE + (gap % MORE)];
    text += LETTERS[gap];
    last = row;
  }
  return text;
}

// Without those that an atlas of so many images does not have; none where the text is something else.
export function read(text: string | undefined, count: number): number[] {
  const rows: number[] = [];
  let [last, gap, place] = [-1, 0, 1];
  for (const letter of text ?? "") {
    const value = LETTERS.indexOf(letter);
    if (value < 0) return [];
    gap += (value % MORE) * place;
    place *= MORE;
    if (value >= MORE) continue;
    last += gap + 1;
    if (last >= count) return rows;
    rows.push(last);
    [gap, place] = [0, 1];
  }
  return rows;
}
