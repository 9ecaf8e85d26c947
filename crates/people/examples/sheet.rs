//! Draws a sheet of pictures to look at: `cargo run -p fairhuman-people --example sheet -- OUT.png SIZE
//! COLUMNS ROWS SEED FIRST [masks]`. With `masks`, faces are tinted red and hands green. The captions are
//! printed.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [out, numbers @ ..] = arguments.as_slice() else {
        return Err("give OUT.png SIZE COLUMNS ROWS SEED FIRST".into());
    };
    let masks = numbers.last().is_some_and(|a| a == "masks");
    let numbers: Vec<u32> = numbers.iter().take(5).map(|a| a.parse()).collect::<Result<_, _>>()?;
    let [size, columns, rows, seed, first] = numbers[..] else {
        return Err("give OUT.png SIZE COLUMNS ROWS SEED FIRST".into());
    };
    let mut sheet = image::RgbImage::new(size * columns, size * rows);
    for k in 0..columns * rows {
        let mut picture = fairhuman_people::draw(size, seed.into(), (first + k).into());
        if masks {
            for (mask, channel) in [(&picture.face_mask, 0), (&picture.hand_mask, 1)] {
                for (pixel, _) in picture.image.pixels_mut().zip(mask.pixels()).filter(|(_, m)| m.0[0] > 0) {
                    pixel.0 = std::array::from_fn(|c| if c == channel { 255 } else { pixel.0[c] / 2 });
                }
            }
        }
        println!("{}: {}", first + k, picture.caption);
        let (x, y) = ((k % columns) * size, (k / columns) * size);
        image::imageops::replace(&mut sheet, &picture.image, x.into(), y.into());
    }
    Ok(sheet.save(out)?)
}
