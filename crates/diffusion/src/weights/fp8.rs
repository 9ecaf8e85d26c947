//! Eight-bit floats of files, widened to sixteen bits, which hold each of them exactly; with a scale, rounded
//! once.

use fairhuman_engine::DType;
use half::f16;
use safetensors::Dtype;

/// The values of all bytes of an eight-bit type; none of another type.
fn table(dtype: Dtype) -> Option<[f32; 256]> {
    let value = match dtype {
        // The upper half of a 16-bit float.
        Dtype::F8_E5M2 => |byte: u8| f16::from_bits(u16::from(byte) << 8).to_f32(),
        Dtype::F8_E4M3 => e4m3,
        _ => return None,
    };
    Some(std::array::from_fn(|byte| value(byte as u8)))
}

/// Four bits of exponent (bias 7), three of mantissa, no infinities.
fn e4m3(byte: u8) -> f32 {
    let (exponent, mantissa) = (i32::from(byte >> 3 & 0xf), f32::from(byte & 7));
    let size = match (exponent, byte & 7) {
        (15, 7) => f32::NAN,
        (0, _) => mantissa * 2f32.powi(-9),
        _ => (1.0 + mantissa / 8.0) * 2f32.powi(exponent - 7),
    };
    if byte & 0x80 == 0 { size } else { -size }
}

/// Whether a type is one of these.
pub(super) fn is_fp8(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::F8_E4M3 | Dtype::F8_E5M2)
}

/// Bytes of such a type as 16-bit floats, or 32-bit ones where a scale leads beyond them; none of another
/// type.
pub(super) fn widened(dtype: Dtype, bytes: &[u8], scale: f32) -> Option<(DType, Vec<u8>)> {
    let table = table(dtype)?.map(|value| scale * value);
    let normal = f16::MIN_POSITIVE.to_f32()..=f16::MAX.to_f32();
    // One value that 16 bits do not hold decides for the whole tensor.
    let fits = scale == 1.0
        || bytes.iter().all(|&byte| {
            let size = table[usize::from(byte)].abs();
            size == 0.0 || size.is_nan() || normal.contains(&size)
        });
    Some(match fits {
        true => {
            let table = table.map(|value| f16::from_f32(value).to_le_bytes());
            (DType::F16, bytes.iter().flat_map(|&byte| table[usize::from(byte)]).collect())
        }
        false => {
            let table = table.map(f32::to_le_bytes);
            (DType::F32, bytes.iter().flat_map(|&byte| table[usize::from(byte)]).collect())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_the_types_and_survive_sixteen_bits() {
        for (byte, value) in [
            (0x00, 0.0),
            (0x01, 2f32.powi(-9)),
            (0x38, 1.0),
            (0x7e, 448.0),
            (0xb8, -1.0),
            (0x08, 2f32.powi(-6)),
        ] {
            assert_eq!(e4m3(byte), value, "{byte:#x}");
        }
        assert!(e4m3(0x7f).is_nan() && e4m3(0xff).is_nan());
        let e5m2 = table(Dtype::F8_E5M2).unwrap();
        assert_eq!((e5m2[0x7b], e5m2[0x01], e5m2[0x3c]), (57344.0, 2f32.powi(-16), 1.0));
        let all: Vec<u8> = (0..=255).collect();
        for dtype in [Dtype::F8_E4M3, Dtype::F8_E5M2] {
            let (kind, bytes) = widened(dtype, &all, 1.0).unwrap();
            assert_eq!(kind, DType::F16);
            for (byte, two) in bytes.chunks_exact(2).enumerate() {
                let (found, value) =
                    (f16::from_le_bytes([two[0], two[1]]).to_f32(), table(dtype).unwrap()[byte]);
                assert!(found == value || (found.is_nan() && value.is_nan()), "{byte:#x}");
            }
        }
    }

    #[test]
    fn a_scale_that_leads_beyond_sixteen_bits_gives_thirty_two() {
        assert_eq!(widened(Dtype::F8_E4M3, &[0x38, 0], 0.5).unwrap(), (DType::F16, vec![0, 0x38, 0, 0]));
        assert_eq!(
            widened(Dtype::F8_E4M3, &[0x38], 1e-6).unwrap(),
            (DType::F32, 1e-6f32.to_le_bytes().to_vec())
        );
        assert_eq!(widened(Dtype::F8_E4M3, &[0x7e], 1e3).unwrap().0, DType::F32);
        assert_eq!(widened(Dtype::F16, &[0, 0], 1.0), None);
    }
}
