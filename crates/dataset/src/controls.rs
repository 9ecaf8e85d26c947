//! Control images that are all alike: whoever learns to follow them learns nothing.

use crate::content::Content;
use crate::decode::{Decoder, ItemImage};
use crate::diagnostic::{Diagnostic, Kind, Subject};
use crate::item::Item;
use crate::source::ImageSource;

/// The parts of a control image that are compared.
#[derive(PartialEq)]
enum Look {
    /// One colour all over, whatever the size: no pose was found, or nothing was drawn.
    Plain([u8; 3]),
    /// The bytes of the file.
    Of([u8; 32]),
}

/// A warning if the control images of at least two pictures are all alike. It is found out at the second
/// image of a dataset that is as it should be. One that cannot be read is told elsewhere.
pub(crate) fn alike<'a>(decoder: &Decoder, items: impl Iterator<Item = &'a Item>) -> Option<Diagnostic> {
    let mut first: Option<(&Item, &ImageSource, Look)> = None;
    let mut count = 0;
    for item in items {
        let Some(source) = item.conditioning.as_ref() else { continue };
        count += 1;
        match &first {
            None => first = Some((item, source, look(decoder, source)?)),
            Some((_, other, _)) if *other == source => {}
            Some((_, _, other)) if *other == look(decoder, source)? => {}
            Some(_) => return None,
        }
    }
    let (item, _, look) = first.filter(|_| count > 1)?;
    let why = match look {
        Look::Plain(_) => "are of one and the same colour, with nothing drawn",
        Look::Of(_) => "are the same picture",
    };
    let text = format!(
        "all {count} {why}: a control network learns nothing from them; `fairhuman control` makes control images"
    );
    let image = decoder.conditioning(item).map(|image: ItemImage<'_>| image.name(item).to_owned());
    Some(Diagnostic::new(Kind::Doubtful, text).about(Subject::Conditioning, image.unwrap_or_default()))
}

fn look(decoder: &Decoder, source: &ImageSource) -> Option<Look> {
    let content = Content::find(&decoder.root, source).ok()?;
    let header = content.header(decoder.spec.max_pixels).ok()?;
    let picture = content.decode(&header, false).ok()?.image.into_rgb8();
    let mut pixels = picture.pixels();
    let colour = pixels.next()?.0;
    match pixels.all(|pixel| pixel.0 == colour) {
        true => Some(Look::Plain(colour)),
        false => content.hash().ok().map(Look::Of),
    }
}
