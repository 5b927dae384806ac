// Points on a canvas by WebGL; by the canvas's own means where there is none. No library: the page's policy forbids
// building code from text, which the usual ones do (regl).

import type { Size, View } from "./plane";

const VERTEX = `
attribute vec2 place;
attribute vec4 colour;
uniform vec2 middle, stretch;
uniform mediump float side;
varying vec4 tint;
void main() {
  gl_Position = vec4((place - middle) * stretch, 0.0, 1.0);
  gl_PointSize = side;
  tint = colour;
}`;
const FRAGMENT = `
precision mediump float;
varying vec4 tint;
uniform mediump float side;
void main() {
  float edge = clamp((0.5 - distance(gl_PointCoord, vec2(0.5))) * side + 0.5, 0.0, 1.0);
  gl_FragColor = vec4(tint.rgb, 1.0) * tint.a * edge;
}`;

export class Scatter {
  #gl: WebGLRenderingContext | null;
  #program: WebGLProgram | undefined;
  #xy: Float32Array = new Float32Array(0);
  #colours: Uint8Array = new Uint8Array(0);

  constructor(private readonly canvas: HTMLCanvasElement, private readonly restored: () => void) {
    this.#gl = canvas.getContext("webgl", { antialias: false, preserveDrawingBuffer: true });
    this.#prepare();
    canvas.addEventListener("webglcontextlost", this.#lose);
    canvas.addEventListener("webglcontextrestored", this.#restore);
  }

  // xy: x and y of each point; colours: red, green, blue and opacity.
  fill(xy: Float32Array, colours: Uint8Array): void {
    [this.#xy, this.#colours] = [xy, colours];
    if (!this.#gl || !this.#program) return;
    this.#load("place", xy, 2, this.#gl.FLOAT);
    this.#load("colour", colours, 4, this.#gl.UNSIGNED_BYTE);
  }

  // side: of a point, CSS px.
  draw(view: View, [width, height]: Size, side: number): void {
    const sharp = globalThis.devicePixelRatio || 1;
    const [across, down] = [Math.max(1, Math.round(width * sharp)), Math.max(1, Math.round(height * sharp))];
    if (this.canvas.width !== across || this.canvas.height !== down) [this.canvas.width, this.canvas.height] = [across, down];
    const gl = this.#gl;
    if (!gl) this.#drawPlain(view, [width, height], side, sharp);
    if (!gl || !this.#program) return;
    gl.viewport(0, 0, across, down);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.uniform2f(gl.getUniformLocation(this.#program, "middle"), view.x, view.y);
    gl.uniform2f(gl.getUniformLocation(this.#program, "stretch"), (2 * view.scale) / width, (-2 * view.scale) / height);
    gl.uniform1f(gl.getUniformLocation(this.#program, "side"), side * sharp);
    gl.drawArrays(gl.POINTS, 0, this.#colours.length / 4);
  }

  close(): void {
    this.canvas.removeEventListener("webglcontextlost", this.#lose);
    this.canvas.removeEventListener("webglcontextrestored", this.#restore);
    this.#gl?.getExtension("WEBGL_lose_context")?.loseContext();
  }

  readonly #lose = (event: Event): void => {
    event.preventDefault();
    this.#program = undefined;
  };

  readonly #restore = (): void => {
    this.#prepare();
    this.fill(this.#xy, this.#colours);
    this.restored();
  };

  #prepare(): void {
    const gl = this.#gl;
    const program = gl?.createProgram();
    if (!gl || !program) return;
    for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]] as const) {
      const shader = gl.createShader(kind);
      if (!shader) return;
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    gl.useProgram(program);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    this.#program = program;
  }

  #load(name: string, values: Float32Array | Uint8Array, size: number, kind: number): void {
    const [gl, program] = [this.#gl, this.#program];
    if (!gl || !program) return;
    const place = gl.getAttribLocation(program, name);
    const known = this.#buffers.get(name);
    const buffer = known?.program === program ? known.buffer : gl.createBuffer();
    this.#buffers.set(name, { program, buffer });
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    gl.bufferData(gl.ARRAY_BUFFER, values as Float32Array<ArrayBuffer>, gl.DYNAMIC_DRAW);
    gl.enableVertexAttribArray(place);
    gl.vertexAttribPointer(place, size, kind, kind === gl.UNSIGNED_BYTE, 0, 0);
  }

  readonly #buffers = new Map<string, { program: WebGLProgram; buffer: WebGLBuffer | null }>();

  #drawPlain({ x, y, scale }: View, [width, height]: Size, side: number, sharp: number): void {
    const context = this.canvas.getContext("2d");
    if (!context) return;
    context.setTransform(sharp, 0, 0, sharp, 0, 0);
    context.clearRect(0, 0, width, height);
    for (let row = 0; row < this.#colours.length / 4; row += 1) {
      const [left, top] = [((this.#xy[2 * row] as number) - x) * scale + width / 2, ((this.#xy[2 * row + 1] as number) - y) * scale + height / 2];
      if (left < -side || top < -side || left > width + side || top > height + side) continue;
      const [red, green, blue, opacity = 255] = this.#colours.subarray(4 * row, 4 * row + 4);
      context.fillStyle = `rgb(${red} ${green} ${blue} / ${opacity / 255})`;
      context.fillRect(left - side / 2, top - side / 2, side, side);
    }
  }
}

// px of a point: large where there are few, and growing slowly as one zooms in.
export function sideOf(count: number, [width, height]: Size, zoom: number): number {
  const room = Math.sqrt((width * height) / Math.max(count, 1));
  return Math.min(Math.max(room * 0.22, 2), 7) * Math.min(Math.max(zoom, 1) ** 0.35, 2.5);
}
