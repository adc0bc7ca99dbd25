// Files that the server reads for the page: DICOM (also a folder of them), NIfTI, and whatever else it knows.

import { server } from "./api.js";
import { Volume } from "./scenes.js";

const KINDS = { i16: Int16Array, f32: Float32Array, rgb8: Uint8Array };

/** Windows by site, in Hounsfield units; lower and upper as BiomedParse's processing has them. */
export const WINDOWS = {
  Abdomen: [-150, 250],
  Lung: [-1000, 1000],
  Pelvis: [-55, 200],
  Liver: [-25, 230],
  Colon: [-68, 187],
  Pancreas: [-100, 200],
};

/** Reads files of one scan. The reply is a length, a header in JSON, and the voxels. */
export async function openVolume(files) {
  const form = new FormData();
  for (const file of files) form.append("file", file, "slice");
  const reply = await server.call("/api/v1/volume", { body: form, as: "bytes" });
  const length = new DataView(reply).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(reply, 4, length)));
  const voxels = new KINDS[header.kind](reply, 4 + length);
  const [first] = files;
  const folder = files.length > 1 && first.webkitRelativePath?.split("/")[0];
  return new Volume(folder || first.name, files, header, voxels);
}
