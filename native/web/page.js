"use strict";

// The net of model.sqz, run by sqz.wasm. All memory of the module is laid out here: each part begins where the one before ends.

const PAGE = 65536;
const TOP = 5;

const element = (id) => document.getElementById(id);

// state: "ready", "answered" or "error".
function say(text, state) {
  element("status").textContent = text;
  element("status").dataset.state = state;
}

async function fetched(name) {
  const answer = await fetch(name);
  if (!answer.ok) throw new Error(`${name}: ${answer.status} ${answer.statusText}`);
  return answer;
}

class Net {
  constructor(module, file, classes) {
    this.calls = module.instance.exports;
    this.next = this.calls.__heap_base.value;
    this.names = classes;
    const data = this.take(file.byteLength);
    this.bytes(data, file.byteLength).set(new Uint8Array(file));
    this.check(this.calls.open(data, file.byteLength));
    this.side = this.calls.side();
    this.channels = this.calls.channels();
    this.weights = this.take(this.calls.weights_size());
    this.logits = this.take(4 * this.calls.classes());
    this.square = this.take(this.side * this.side * this.channels);
    this.memory = this.take(this.calls.memory_size());
    this.end = this.next; // what is after this is free again after each picture
    this.check(this.calls.load(this.weights, this.take(this.calls.work_size())));
    this.next = this.end;
  }

  take(size) {
    const start = Math.ceil(this.next / 16) * 16;
    this.next = start + size;
    const missing = this.next - this.calls.memory.buffer.byteLength;
    if (missing > 0) this.calls.memory.grow(Math.ceil(missing / PAGE));
    return start;
  }

  bytes(start, size) {
    return new Uint8Array(this.calls.memory.buffer, start, size);
  }

  text(start) {
    const all = new Uint8Array(this.calls.memory.buffer, start);
    return new TextDecoder().decode(all.subarray(0, all.indexOf(0)));
  }

  check(status) {
    if (status !== 0) throw new Error(`model.sqz: ${this.text(this.calls.status_name(status))}: ${this.text(this.calls.status_text(status))}`);
  }

  // rgba: of width x height pixels. The logits, by class.
  run(rgba, width, height) {
    this.next = this.end;
    const pixels = this.take(width * height * this.channels);
    const to = this.bytes(pixels, width * height * this.channels);
    for (let i = 0, j = 0; i < rgba.length; i += 4) {
      if (this.channels === 1) {
        to[j++] = (rgba[i] * 19595 + rgba[i + 1] * 38470 + rgba[i + 2] * 7471 + 32768) >> 16;
      } else {
        to[j++] = rgba[i];
        to[j++] = rgba[i + 1];
        to[j++] = rgba[i + 2];
      }
    }
    const size = this.calls.crop_size(width, height);
    if (size === 0) throw new Error("the picture is too large");
    this.check(this.calls.crop(pixels, width, height, this.take(size), this.square));
    this.check(this.calls.run(this.weights, this.square, this.memory, this.logits));
    return new Float32Array(this.calls.memory.buffer, this.logits, this.calls.classes()).slice();
  }
}

// The `n` likeliest classes, with their probabilities.
function likeliest(logits, names, n) {
  const most = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  const sum = logits.reduce((total, logit) => total + Math.exp(logit - most), 0);
  return Array.from(logits, (logit, i) => ({ name: names[i] ?? String(i), share: Math.exp(logit - most) / sum }))
    .sort((a, b) => b.share - a.share)
    .slice(0, n);
}

function show(found) {
  const rows = found.map(({ name, share }) => {
    const row = document.createElement("tr");
    const bar = document.createElement("span");
    bar.style.width = `${100 * share}%`;
    for (const [kind, content] of [["name", name], ["bar", bar], ["share", `${(100 * share).toFixed(1)}%`]]) {
      const cell = document.createElement("td");
      cell.className = kind;
      cell.append(content);
      row.append(cell);
    }
    return row;
  });
  element("answers").tBodies[0].replaceChildren(...rows);
}

// A picture's pixels, on white where it is transparent.
function pixelsOf(bitmap) {
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, bitmap.width, bitmap.height);
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, bitmap.width, bitmap.height).data;
}

async function classify(net, blob) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none" });
  } catch {
    say("that is no picture that this browser can decode", "error");
    return;
  }
  try {
    const rgba = pixelsOf(bitmap);
    const start = performance.now();
    const logits = net.run(rgba, bitmap.width, bitmap.height);
    const taken = performance.now() - start;
    show(likeliest(logits, net.names, TOP));
    window.answered = { logits: Array.from(logits), milliseconds: taken };
    say(`${bitmap.width} x ${bitmap.height} pixels, answered in ${taken.toFixed(0)} ms`, "answered");
  } catch (error) {
    say(error.message, "error");
    return;
  }
  const picture = element("picture");
  URL.revokeObjectURL(picture.src);
  picture.src = URL.createObjectURL(blob);
  picture.style.display = "block";
}

function listen(net) {
  const drop = element("drop");
  const take = (files) => {
    const picture = Array.from(files ?? []).find((file) => file.type.startsWith("image/"));
    if (picture) classify(net, picture);
    else if (files?.length) say("that is no picture", "error");
  };
  element("file").addEventListener("change", (event) => {
    take(event.target.files);
    event.target.value = "";
  });
  for (const name of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", name === "dragover");
      if (name === "drop") take(event.dataTransfer.files);
    });
  }
  document.addEventListener("paste", (event) => take(event.clipboardData.files));
}

async function main() {
  const start = performance.now();
  const [wasm, file, classes] = await Promise.all([
    fetched("sqz.wasm").then((answer) => answer.arrayBuffer()),
    fetched("model.sqz").then((answer) => answer.arrayBuffer()),
    fetched("classes.json").then((answer) => answer.json()),
  ]);
  const net = new Net(await WebAssembly.instantiate(wasm, {}), file, classes);
  listen(net);
  say(`${file.byteLength.toLocaleString("en")} bytes, ready after ${(performance.now() - start).toFixed(0)} ms`, "ready");
}

main().catch((error) => say(error.message, "error"));
