// A PNG of at most 256 colours made of a PNG of many: a third of its size, as pages have few colours and their blends.
import { deflateSync, inflateSync } from "node:zlib";

export function indexed(png) {
  const { width, height, channels, pixels } = read(png);
  const colours = new Map();
  const colour = (at) => (pixels[at] << 16) | (pixels[at + 1] << 8) | pixels[at + 2];
  for (let at = 0; at < pixels.length; at += channels) colours.set(colour(at), (colours.get(colour(at)) ?? 0) + 1);
  // The most frequent ones stay as they are, a bright word before a shade of grey; each other becomes the nearest of them.
  const bright = (one) => Math.max(one >> 16, (one >> 8) & 255, one & 255) - Math.min(one >> 16, (one >> 8) & 255, one & 255);
  const rank = ([one, count]) => count * (1 + bright(one) / 8);
  const palette = [...colours].sort((a, b) => rank(b) - rank(a)).slice(0, 256).map(([one]) => one);
  const far = (a, b) => [16, 8, 0].reduce((sum, shift) => sum + (((a >> shift) & 255) - ((b >> shift) & 255)) ** 2, 0);
  const places = new Map([...colours.keys()].map((one) => {
    const exact = palette.indexOf(one);
    return [one, exact >= 0 ? exact : palette.reduce((best, _, at) => (far(one, palette[at]) < far(one, palette[best]) ? at : best), 0)];
  }));
  const rows = Buffer.alloc((width + 1) * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) rows[y * (width + 1) + 1 + x] = places.get(colour((y * width + x) * channels));
  }
  return written(width, height, palette, rows);
}

// Eight bits a channel, not interlaced: what Chromium writes.
function read(png) {
  let width, height, channels;
  const parts = [];
  for (let at = 8; at < png.length; ) {
    const length = png.readUInt32BE(at), kind = png.toString("latin1", at + 4, at + 8), data = png.subarray(at + 8, at + 8 + length);
    if (kind === "IHDR") [width, height, channels] = [data.readUInt32BE(0), data.readUInt32BE(4), data[9] === 6 ? 4 : 3];
    if (kind === "IDAT") parts.push(data);
    at += 12 + length;
  }
  const raw = inflateSync(Buffer.concat(parts)), line = width * channels, pixels = Buffer.alloc(line * height);
  for (let y = 0; y < height; y++) {
    const filter = raw[y * (line + 1)];
    for (let x = 0; x < line; x++) {
      const to = y * line + x;
      const left = x >= channels ? pixels[to - channels] : 0, up = y > 0 ? pixels[to - line] : 0;
      const corner = x >= channels && y > 0 ? pixels[to - line - channels] : 0;
      pixels[to] = raw[y * (line + 1) + 1 + x] + [0, left, up, (left + up) >> 1, nearest(left, up, corner)][filter];
    }
  }
  return { width, height, channels, pixels };
}

function nearest(left, up, corner) {
  const sum = left + up - corner;
  const [a, b, c] = [left, up, corner].map((one) => Math.abs(sum - one));
  return a <= b && a <= c ? left : b <= c ? up : corner;
}

function written(width, height, palette, rows) {
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head.set([8, 3, 0, 0, 0], 8);
  const colours = Buffer.from(palette.flatMap((colour) => [colour >> 16, (colour >> 8) & 255, colour & 255]));
  const chunk = (kind, data) => {
    const body = Buffer.concat([Buffer.from(kind, "latin1"), data]), out = Buffer.alloc(body.length + 8);
    out.writeUInt32BE(data.length, 0);
    out.set(body, 4);
    out.writeUInt32BE(crc(body), body.length + 4);
    return out;
  };
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  const parts = [chunk("IHDR", head), chunk("PLTE", colours), chunk("IDAT", deflateSync(rows, { level: 9 })), chunk("IEND", Buffer.alloc(0))];
  return Buffer.concat([signature, ...parts]);
}

function crc(data) {
  let sum = ~0;
  for (const byte of data) {
    sum ^= byte;
    for (let bit = 0; bit < 8; bit++) sum = (sum >>> 1) ^ (sum & 1 ? 0xedb88320 : 0);
  }
  return ~sum >>> 0;
}
