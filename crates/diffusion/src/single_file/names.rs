//! The names of a network's tensors in checkpoint files: those of the original autoencoder ("ldm") and of
//! open_clip's text encoders, by diffusers' and transformers' names. U-Nets:
//! [`crate::lora_file::UnetLayout`].

use crate::weights::Part;

/// An autoencoder's tensor, without the prefix `first_stage_model.`; `levels`: its resolutions. The decoder's
/// blocks are counted from the picture there, and from the latents in diffusers.
pub(super) fn vae(name: &str, levels: usize) -> Option<String> {
    let (module, leaf) = name.rsplit_once('.')?;
    let path: Vec<&str> = module.split('.').collect();
    let inner =
        |name: &str| if name == "conv_shortcut" { "nin_shortcut".to_owned() } else { name.to_owned() };
    let module = match path.as_slice() {
        ["quant_conv" | "post_quant_conv"] | ["encoder" | "decoder", "conv_in" | "conv_out"] => {
            module.to_owned()
        }
        [side @ ("encoder" | "decoder"), "conv_norm_out"] => format!("{side}.norm_out"),
        [side, "mid_block", "attentions", "0", rest @ ..] => {
            let own = match rest {
                ["group_norm"] => "norm",
                ["to_q"] => "q",
                ["to_k"] => "k",
                ["to_v"] => "v",
                ["to_out", "0"] => "proj_out",
                _ => return None,
            };
            format!("{side}.mid.attn_1.{own}")
        }
        [side, "mid_block", "resnets", j, layer] => {
            format!("{side}.mid.block_{}.{}", j.parse::<usize>().ok()? + 1, inner(layer))
        }
        [side, blocks @ ("down_blocks" | "up_blocks"), i, rest @ ..] => {
            let i: usize = i.parse().ok()?;
            let (way, i) = match *blocks {
                "down_blocks" => ("down", i),
                _ => ("up", levels.checked_sub(1 + i)?),
            };
            match rest {
                ["downsamplers" | "upsamplers", "0", "conv"] => format!("{side}.{way}.{i}.{way}sample.conv"),
                ["resnets", j, layer] => format!("{side}.{way}.{i}.block.{j}.{}", inner(layer)),
                _ => return None,
            }
        }
        _ => return None,
    };
    Some(format!("{module}.{leaf}"))
}

/// A text encoder's tensor in open_clip's names, and the part of it that is meant.
pub fn open_clip(name: &str) -> Option<(String, Part)> {
    let whole = |name: &str| Some((name.to_owned(), Part::Whole));
    match name {
        "text_model.embeddings.token_embedding.weight" => return whole("token_embedding.weight"),
        "text_model.embeddings.position_embedding.weight" => return whole("positional_embedding"),
        "text_model.final_layer_norm.weight" => return whole("ln_final.weight"),
        "text_model.final_layer_norm.bias" => return whole("ln_final.bias"),
        // A parameter P in x P, where transformers has the weight of a linear layer.
        "text_projection.weight" => return Some(("text_projection".into(), Part::Transposed)),
        _ => {}
    }
    let rest = name.strip_prefix("text_model.encoder.layers.")?;
    let (layer, rest) = rest.split_once('.')?;
    let (module, leaf) = rest.rsplit_once('.')?;
    let block = format!("transformer.resblocks.{layer}");
    if let Some(k) = ["q", "k", "v"].iter().position(|n| module == format!("self_attn.{n}_proj")) {
        return Some((format!("{block}.attn.in_proj_{leaf}"), Part::Third(k)));
    }
    let own = match module {
        "layer_norm1" => "ln_1",
        "layer_norm2" => "ln_2",
        "mlp.fc1" => "mlp.c_fc",
        "mlp.fc2" => "mlp.c_proj",
        "self_attn.out_proj" => "attn.out_proj",
        _ => return None,
    };
    whole(&format!("{block}.{own}.{leaf}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_published_files() {
        for (own, stored) in [
            (
                "encoder.down_blocks.1.resnets.0.conv_shortcut.weight",
                "encoder.down.1.block.0.nin_shortcut.weight",
            ),
            ("decoder.up_blocks.0.resnets.2.norm1.bias", "decoder.up.3.block.2.norm1.bias"),
            ("decoder.up_blocks.2.upsamplers.0.conv.weight", "decoder.up.1.upsample.conv.weight"),
            ("decoder.mid_block.attentions.0.to_out.0.bias", "decoder.mid.attn_1.proj_out.bias"),
            ("encoder.mid_block.resnets.1.conv2.bias", "encoder.mid.block_2.conv2.bias"),
            ("decoder.conv_norm_out.weight", "decoder.norm_out.weight"),
            ("post_quant_conv.weight", "post_quant_conv.weight"),
        ] {
            assert_eq!(vae(own, 4).as_deref(), Some(stored));
        }
        let text = |name: &str| open_clip(&format!("text_model.encoder.layers.10.{name}"));
        let block = |name: &str| format!("transformer.resblocks.10.{name}");
        assert_eq!(text("self_attn.k_proj.bias"), Some((block("attn.in_proj_bias"), Part::Third(1))));
        assert_eq!(text("self_attn.v_proj.weight"), Some((block("attn.in_proj_weight"), Part::Third(2))));
        assert_eq!(text("mlp.fc2.weight"), Some((block("mlp.c_proj.weight"), Part::Whole)));
        let projection = open_clip("text_projection.weight");
        assert_eq!(projection, Some(("text_projection".to_owned(), Part::Transposed)));
    }
}
