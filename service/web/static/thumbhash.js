// Decodes a ThumbHash, the placeholder of about 25 bytes. Algorithm: Evan Wallace, thumbhash (MIT).

const SIDE = 32;

// The pixels of a hash in base64, or null when it is none: { width, height, rgba, hasAlpha }.
export function decode(base64) {
  let bytes;
  try {
    bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
  } catch {
    return null;
  }
  if (bytes.length < 5) return null;
  const head = bytes[0] | (bytes[1] << 8) | (bytes[2] << 16);
  const tail = bytes[3] | (bytes[4] << 8);
  const hasAlpha = head >> 23 === 1;
  const [longest, shortest] = [hasAlpha ? 5 : 7, Math.max(1, tail & 7)];
  const isLandscape = tail >> 15 === 1;
  const [across, down] = isLandscape ? [longest, shortest] : [shortest, longest];
  const next = nibbles(bytes, hasAlpha ? 6 : 5);
  const luma = channel(Math.max(3, across), Math.max(3, down), (head & 63) / 63, ((head >> 18) & 31) / 31, next);
  const yellowBlue = channel(3, 3, ((head >> 6) & 63) / 31.5 - 1, (((tail >> 3) & 63) / 63) * 1.25, next);
  const redGreen = channel(3, 3, ((head >> 12) & 63) / 31.5 - 1, (((tail >> 9) & 63) / 63) * 1.25, next);
  const opacity = hasAlpha ? channel(5, 5, (bytes[5] & 15) / 15, (bytes[5] >> 4) / 15, next) : null;

  const ratio = across / down;
  const width = Math.max(1, Math.round(ratio > 1 ? SIDE : SIDE * ratio));
  const height = Math.max(1, Math.round(ratio > 1 ? SIDE / ratio : SIDE));
  const rgba = new Uint8ClampedArray(width * height * 4); // clamps and rounds by itself
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at += 4) {
      const place = [(Math.PI / width) * (x + 0.5), (Math.PI / height) * (y + 0.5)];
      const [l, p, q] = [valueAt(luma, place), valueAt(yellowBlue, place), valueAt(redGreen, place)];
      const blue = l - (2 / 3) * p;
      const red = (3 * l - blue + q) / 2;
      rgba.set([255 * red, 255 * (red - q), 255 * blue, 255 * (opacity ? valueAt(opacity, place) : 1)], at);
    }
  }
  return { width, height, rgba, hasAlpha };
}

// Paints the hash, if it is one; returns what was painted.
export function paint(canvas, base64) {
  const picture = decode(base64);
  if (!picture) return null;
  canvas.width = picture.width;
  canvas.height = picture.height;
  canvas.getContext("2d").putImageData(new ImageData(picture.rgba, picture.width, picture.height), 0, 0);
  return picture;
}

function nibbles(bytes, start) {
  let at = 0;
  return () => ((bytes[start + (at >> 1)] ?? 0) >> ((at++ & 1) * 4)) & 15;
}

// The constant part, and the waves in the order in which they were written.
function channel(across, down, constant, scale, next) {
  const waves = [];
  for (let y = 0; y < down; y++) {
    for (let x = y ? 0 : 1; x * down < across * (down - y); x++) {
      waves.push([x, y, (next() / 7.5 - 1) * scale * 2]);
    }
  }
  return { constant, waves };
}

function valueAt({ constant, waves }, [x, y]) {
  let value = constant;
  for (const [ofX, ofY, factor] of waves) {
    value += factor * Math.cos(ofX * x) * Math.cos(ofY * y);
  }
  return value;
}
