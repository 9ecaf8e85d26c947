//! Rectangles beside each other, without turning them.

/// Places (x, y) of boxes (width, height) in an area, with at least `gutter` between any two; none if they do
/// not fit. Rows are filled from the highest box to the lowest, which wastes little where boxes are of
/// similar size.
pub fn pack(boxes: &[(u32, u32)], area: (u32, u32), gutter: u32) -> Option<Vec<(u32, u32)>> {
    let (width, height) = (u64::from(area.0), u64::from(area.1));
    let gutter = u64::from(gutter);
    let mut by_height: Vec<usize> = (0..boxes.len()).collect();
    by_height.sort_by_key(|&i| std::cmp::Reverse((boxes[i].1, boxes[i].0)));
    let mut places = vec![(0, 0); boxes.len()];
    // Where the next box goes in each row, and the row's top and height.
    let mut rows: Vec<(u64, u64, u64)> = Vec::new();
    for i in by_height {
        let (w, h) = (u64::from(boxes[i].0), u64::from(boxes[i].1));
        let row = rows.iter().position(|&(x, _, _)| x + w <= width);
        let row = match row {
            Some(row) => row,
            None => {
                let top = rows.last().map_or(0, |&(_, y, h)| y + h + gutter);
                if w > width || top + h > height {
                    return None;
                }
                rows.push((0, top, h));
                rows.len() - 1
            }
        };
        let (x, y, _) = rows[row];
        places[i] = (u32::try_from(x).ok()?, u32::try_from(y).ok()?);
        rows[row].0 = x + w + gutter;
    }
    Some(places)
}
