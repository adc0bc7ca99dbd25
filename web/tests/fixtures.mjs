// Procedural files of every kind that the page opens.

import { deflateSync, gzipSync } from "node:zlib";

/** A gray PNG of one value where `inside` says so. */
export function png(width, height, inside) {
  const rows = Buffer.alloc((width + 1) * height);
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) rows[y * (width + 1) + 1 + x] = inside(x, y) ? 255 : 0;
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head[8] = 8;
  const chunk = (name, data) => {
    const body = Buffer.concat([Buffer.from(name), data]);
    const out = Buffer.alloc(body.length + 8);
    out.writeUInt32BE(data.length, 0);
    body.copy(out, 4);
    out.writeUInt32BE(crc32(body), body.length + 4);
    return out;
  };
  const mark = Buffer.from([137, 80, 78, 71, 13, 10, 26, 10]);
  return Buffer.concat([mark, chunk("IHDR", head), chunk("IDAT", deflateSync(rows)), chunk("IEND", Buffer.alloc(0))]);
}

function crc32(bytes) {
  let crc = -1;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? 0xedb88320 ^ (crc >>> 1) : crc >>> 1;
  }
  return (crc ^ -1) >>> 0;
}

/** A body of ellipses in a volume of 16-bit values. */
function body(nx, ny, nz) {
  const voxels = new Int16Array(nx * ny * nz);
  for (let z = 0, at = 0; z < nz; z++) {
    const wide = Math.sin((Math.PI * (z + 1)) / (nz + 1));
    for (let y = 0; y < ny; y++) {
      for (let x = 0; x < nx; x++, at++) {
        const [u, v] = [(2 * x) / nx - 1, (2 * y) / ny - 1];
        const isOrgan = ((u + 0.3) / 0.3) ** 2 + (v / 0.35) ** 2 + ((2 * z) / nz - 1) ** 2 < 1;
        const isBody = (u / 0.9) ** 2 + (v / 0.7) ** 2 < wide * wide;
        voxels[at] = isOrgan ? 900 : isBody ? 300 + ((x * 7 + y * 13) % 40) : 0;
      }
    }
  }
  return voxels;
}

/** A NIfTI-1 in gzip: 16-bit values, spacing in millimetres, right, front and up. */
export function nifti(nx, ny, nz, [sx, sy, sz]) {
  const head = Buffer.alloc(352);
  head.writeInt32LE(348, 0);
  [3, nx, ny, nz, 1, 1, 1, 1].forEach((size, at) => head.writeInt16LE(size, 40 + 2 * at));
  head.writeInt16LE(4, 70);
  head.writeInt16LE(16, 72);
  [1, sx, sy, sz].forEach((side, at) => head.writeFloatLE(side, 76 + 4 * at));
  head.writeFloatLE(352, 108);
  head.writeFloatLE(1, 112);
  head[123] = 2;
  head.writeInt16LE(2, 254);
  head.writeFloatLE(sx, 280);
  head.writeFloatLE(sy, 300);
  head.writeFloatLE(sz, 320);
  head.write("n+1", 344);
  return gzipSync(Buffer.concat([head, Buffer.from(body(nx, ny, nz).buffer)]), { level: 1 });
}

/** One slice of a CT series: Explicit VR Little Endian, 16 bits, 0.8 mm pixels, 5 mm slices. */
export function dicom(size, slice) {
  const uid = (end) => `1.2.826.0.1.3680043.10.1.${end}`;
  const instance = uid(`3.${slice + 1}`);
  const meta = Buffer.concat([
    element(0x0002, 0x0001, "OB", Buffer.from([0, 1])),
    element(0x0002, 0x0002, "UI", "1.2.840.10008.5.1.4.1.1.2"),
    element(0x0002, 0x0003, "UI", instance),
    element(0x0002, 0x0010, "UI", "1.2.840.10008.1.2.1"),
    element(0x0002, 0x0012, "UI", uid("9")),
  ]);
  const pixels = Buffer.alloc(size * size * 2);
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const radius = Math.hypot(x - size / 2, y - size / 2) / size;
      pixels.writeInt16LE(radius < 0.2 ? 60 + slice : radius < 0.42 ? -80 : -1000, 2 * (y * size + x));
    }
  }
  const data = [
    element(0x0008, 0x0016, "UI", "1.2.840.10008.5.1.4.1.1.2"),
    element(0x0008, 0x0018, "UI", instance),
    element(0x0008, 0x0060, "CS", "CT"),
    element(0x0020, 0x000d, "UI", uid("1")),
    element(0x0020, 0x000e, "UI", uid("2")),
    element(0x0020, 0x0013, "IS", String(slice + 1)),
    element(0x0020, 0x0032, "DS", `0\\0\\${5 * slice}`),
    element(0x0020, 0x0037, "DS", "1\\0\\0\\0\\1\\0"),
    element(0x0020, 0x0052, "UI", uid("4")),
    element(0x0028, 0x0002, "US", short(1)),
    element(0x0028, 0x0004, "CS", "MONOCHROME2"),
    element(0x0028, 0x0010, "US", short(size)),
    element(0x0028, 0x0011, "US", short(size)),
    element(0x0028, 0x0030, "DS", "0.8\\0.8"),
    element(0x0028, 0x0100, "US", short(16)),
    element(0x0028, 0x0101, "US", short(16)),
    element(0x0028, 0x0102, "US", short(15)),
    element(0x0028, 0x0103, "US", short(1)),
    element(0x0028, 0x1052, "DS", "0"),
    element(0x0028, 0x1053, "DS", "1"),
    element(0x7fe0, 0x0010, "OW", pixels),
  ];
  const length = Buffer.alloc(4);
  length.writeUInt32LE(meta.length);
  const group = element(0x0002, 0x0000, "UL", length);
  return Buffer.concat([Buffer.alloc(128), Buffer.from("DICM"), group, meta, ...data]);
}

function short(value) {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return bytes;
}

/** A data element (DICOM PS3.5, 7.1.2), filled up to an even length. */
function element(group, number, kind, value) {
  let bytes = Buffer.from(value);
  if (bytes.length % 2) bytes = Buffer.concat([bytes, Buffer.from(kind === "UI" || kind === "OB" ? [0] : [32])]);
  const isLong = ["OB", "OW"].includes(kind);
  const head = Buffer.alloc(isLong ? 12 : 8);
  head.writeUInt16LE(group, 0);
  head.writeUInt16LE(number, 2);
  head.write(kind, 4);
  if (isLong) head.writeUInt32LE(bytes.length, 8);
  else head.writeUInt16LE(bytes.length, 6);
  return Buffer.concat([head, bytes]);
}
