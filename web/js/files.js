// Files to take away: gray PNGs, and a ZIP where there are several.

import { compress, crc32 } from "./bytes.js";

/** An 8-bit gray PNG (W3C PNG, 3rd edition). */
export async function grayPng(values, width, height) {
  const rows = new Uint8Array((width + 1) * height);
  for (let y = 0; y < height; y++) rows.set(values.subarray(y * width, (y + 1) * width), y * (width + 1) + 1);
  const header = new DataView(new ArrayBuffer(13));
  header.setUint32(0, width);
  header.setUint32(4, height);
  header.setUint8(8, 8);
  const parts = [Uint8Array.of(137, 80, 78, 71, 13, 10, 26, 10)];
  parts.push(...chunk("IHDR", new Uint8Array(header.buffer)));
  parts.push(...chunk("IDAT", await compress(rows, "deflate")), ...chunk("IEND", new Uint8Array()));
  return new Blob(parts, { type: "image/png" });
}

function chunk(name, data) {
  const body = new Uint8Array(4 + data.length);
  body.set(new TextEncoder().encode(name));
  body.set(data, 4);
  return [big(data.length), body, big(crc32(body))];
}

function big(value) {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
}

/** A ZIP that stores its files as they are: they are compressed already (PKWARE APPNOTE 4.3). */
export async function zip(files) {
  const locals = [];
  const directory = [];
  let offset = 0;
  for (const { name, blob } of files) {
    const bytes = new Uint8Array(await blob.arrayBuffer());
    const title = new TextEncoder().encode(name);
    const common = new DataView(new ArrayBuffer(26));
    common.setUint16(0, 20, true);
    common.setUint16(2, 0x800, true); // names are UTF-8
    common.setUint16(8, 0x21, true); // 1 January 1980
    common.setUint32(10, crc32(bytes), true);
    common.setUint32(14, bytes.length, true);
    common.setUint32(18, bytes.length, true);
    common.setUint16(22, title.length, true);
    const fields = new Uint8Array(common.buffer);
    locals.push(little(0x04034b50), fields, title, bytes);
    directory.push(little(0x02014b50), Uint8Array.of(20, 0), fields, new Uint8Array(10), little(offset), title);
    offset += 30 + title.length + bytes.length;
  }
  const size = directory.reduce((sum, part) => sum + part.length, 0);
  const end = new DataView(new ArrayBuffer(22));
  end.setUint32(0, 0x06054b50, true);
  end.setUint16(8, files.length, true);
  end.setUint16(10, files.length, true);
  end.setUint32(12, size, true);
  end.setUint32(16, offset, true);
  return new Blob([...locals, ...directory, end.buffer], { type: "application/zip" });
}

function little(value) {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}
