//! The display list: the shapes in drawing order, with the region and body part that each belongs to.
//!
//! Everything is kept as filled outlines on a square of side [`SIDE`], whatever the size of the picture:
//! colours, masks and the visibility of key points come from the same outlines.

use tiny_skia::{LineCap, LineJoin, Path, Stroke, Transform};

use crate::colour::Rgb;
use crate::geometry::V2;
use crate::style::Style;

/// Side of the square that pictures are composed on.
pub const SIDE: f32 = 1000.0;

/// The regions that have masks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Region {
    /// Anything else.
    Rest,
    /// Skin of the head and what is drawn on it: eyes, mouth, ears, beard, glasses. Not hair, hats or necks.
    Face,
    /// A hand from the wrist to the finger tips.
    Hand,
}

/// The figure's own left or right: its right hand is on the left of the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The figure's right.
    Right,
    /// The figure's left.
    Left,
}

impl Side {
    /// Both, in the order in which pairs are stored.
    pub const BOTH: [Side; 2] = [Side::Right, Side::Left];

    /// The direction on the picture: `-1` for the right side, which is on the picture's left.
    pub fn sign(self) -> f32 {
        match self {
            Side::Right => -1.0,
            Side::Left => 1.0,
        }
    }
}

/// The body part or scenery that a shape belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Background, shadows, furniture.
    Scenery,
    /// Leg, shoe, trouser leg.
    Leg(Side),
    /// Trunk, skirt, neck.
    Torso,
    /// Arm and sleeve.
    Arm(Side),
    /// Hand.
    Hand(Side),
    /// Head without hair.
    Head,
    /// Hair and hats.
    Hair,
    /// A thing held.
    Thing,
}

/// The fill of a shape; points are in the coordinates of the pen that draws.
#[derive(Clone, Debug)]
pub enum Fill {
    /// One colour.
    Flat(Rgb),
    /// One translucent colour: alpha in `(0, 1)`.
    Glaze(Rgb, f32),
    /// From one colour to another between two points.
    Shade(V2, V2, Rgb, Rgb),
    /// Bands of two colours across the line between two points, repeated with that period.
    Stripes(V2, V2, Rgb, Rgb),
    /// From the colour at the centre to that at the radius.
    Glow(V2, f32, Rgb, Rgb),
}

impl Fill {
    fn through(self, t: Transform) -> Fill {
        match self {
            Fill::Shade(a, b, c, d) => Fill::Shade(a.through(t), b.through(t), c, d),
            Fill::Stripes(a, b, c, d) => Fill::Stripes(a.through(t), b.through(t), c, d),
            Fill::Glow(a, r, c, d) => Fill::Glow(a.through(t), r * scale_of(t), c, d),
            flat => flat,
        }
    }
}

/// One filled outline.
pub struct Shape {
    /// The outline, on the square of side [`SIDE`].
    pub path: Path,
    /// Its fill.
    pub fill: Fill,
    /// The region it belongs to; a [`Fill::Glaze`] belongs to none and hides nothing.
    pub region: Region,
    /// The figure it belongs to.
    pub figure: Option<usize>,
    /// The part of the figure.
    pub part: Part,
}

/// The size by which a similarity transform multiplies lengths.
pub fn scale_of(t: Transform) -> f32 {
    t.sx.hypot(t.ky)
}

/// Draws onto a display list in its own coordinates, on behalf of one part of one figure.
pub struct Pen<'a> {
    shapes: &'a mut Vec<Shape>,
    /// From this pen's coordinates to the square.
    pub to_square: Transform,
    /// The figure that the shapes belong to.
    pub figure: Option<usize>,
    /// Their part.
    pub part: Part,
    /// Their region.
    pub region: Region,
    /// The way to draw.
    pub style: Style,
}

impl<'a> Pen<'a> {
    /// A pen for scenery, in units of the picture's side.
    pub fn new(shapes: &'a mut Vec<Shape>, style: Style) -> Self {
        let to_square = Transform::from_scale(SIDE, SIDE);
        Pen { shapes, to_square, figure: None, part: Part::Scenery, region: Region::Rest, style }
    }

    /// The same pen for a figure, in coordinates that `to_picture` takes to units of the picture's side.
    pub fn for_figure(&mut self, figure: usize, to_picture: Transform) -> Pen<'_> {
        Pen {
            to_square: self.to_square.pre_concat(to_picture),
            shapes: self.shapes,
            figure: Some(figure),
            part: Part::Torso,
            region: Region::Rest,
            style: self.style,
        }
    }

    /// The same pen in coordinates that `local` takes to the present ones.
    pub fn within(&mut self, local: Transform) -> Pen<'_> {
        Pen { to_square: self.to_square.pre_concat(local), shapes: self.shapes, ..*self }
    }

    /// The same pen for another part and region.
    pub fn part(&mut self, part: Part, region: Region) -> Pen<'_> {
        Pen { shapes: self.shapes, part, region, ..*self }
    }

    /// Fills an outline; degenerate outlines draw nothing.
    pub fn fill(&mut self, path: Option<Path>, fill: Fill) {
        if let Some(path) = path.and_then(|p| p.transform(self.to_square)) {
            self.push(path, fill.through(self.to_square));
        }
    }

    /// Draws a line with round ends.
    pub fn line(&mut self, path: Option<Path>, width: f32, fill: Fill) {
        let stroke = Stroke {
            width: width * scale_of(self.to_square),
            line_cap: LineCap::Round,
            line_join: LineJoin::Round,
            ..Stroke::default()
        };
        let outline = path.and_then(|p| p.transform(self.to_square)).and_then(|p| p.stroke(&stroke, 1.0));
        if let Some(outline) = outline {
            self.push(outline, fill.through(self.to_square));
        }
    }

    /// Fills an outline and draws a thin line around it: half of `width` lies outside.
    pub fn outlined(&mut self, path: Option<Path>, fill: Fill, line: Rgb, width: f32) {
        self.line(path.clone(), width * self.style.line(), Fill::Flat(line));
        self.fill(path, fill);
    }

    /// Number of shapes so far, which is the place of the next shape in the drawing order.
    pub fn order(&self) -> usize {
        self.shapes.len()
    }

    fn push(&mut self, path: Path, fill: Fill) {
        if let Some(fill) = self.style.fill(fill) {
            let Pen { region, figure, part, .. } = *self;
            self.shapes.push(Shape { path, fill, region, figure, part });
        }
    }
}
