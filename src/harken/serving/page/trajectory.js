// How the user sounded over the turns: a lane for each emotion, a dot for each share, a line through the likeliest.

import { drawn } from "./elements.js";
import { EMOTIONS, colour, percent, ranked } from "./emotions.js";

const LANE = 26, STEP = 44, LEFT = 74, RADIUS = 9.5, SHOWN_TURNS = 12;

export function trajectory(turns, onChosen) {
  const heard = turns.filter(turn => turn.heard).slice(-SHOWN_TURNS);
  const lanes = EMOTIONS.filter(emotion => emotion !== "other" || heard.some(turn => turn.heard.emotion === "other"));
  const x = n => LEFT + STEP * (n + 0.5), y = emotion => LANE * (Math.max(0, lanes.indexOf(emotion)) + 0.5);
  const width = LEFT + STEP * Math.max(heard.length, 5), height = LANE * lanes.length + 18;
  const chart = drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": told(heard) });
  for (const emotion of lanes) {
    chart.append(drawn("line", { class: "lane", x1: LEFT, x2: width, y1: y(emotion), y2: y(emotion) }),
                 drawn("text", { class: "name", x: LEFT - 12, y: y(emotion) + 4 }, emotion));
  }
  const way = heard.map((turn, n) => [x(n), y(turn.heard.emotion)]);
  chart.append(drawn("path", { class: "way", d: smooth(way) }));
  heard.forEach((turn, n) => {
    const column = drawn("g", { class: "column" });
    for (const [emotion, share] of ranked(turn.heard.scores)) {
      const top = emotion === turn.heard.emotion;
      const dot = drawn("circle", { cx: x(n), cy: y(emotion), r: RADIUS * Math.sqrt(share) + 1, class: top ? "top" : "lesser" },
                        drawn("title", {}, `turn ${turn.number + 1}: ${emotion} ${percent(share)}`));
      dot.style.fill = colour(emotion);
      column.append(dot);
    }
    column.append(drawn("text", { class: "number", x: x(n), y: height - 3 }, `${turn.number + 1}`));
    column.onclick = () => onChosen(turn);
    chart.append(column);
  });
  return chart;
}

// A line that leaves and reaches every point level, so that it shows no more than there is.
function smooth(points) {
  return points.map(([x, y], n) => {
    if (n === 0) return `M${x} ${y}`;
    const [before, from] = points[n - 1], middle = (before + x) / 2;
    return `C${middle} ${from} ${middle} ${y} ${x} ${y}`;
  }).join("");
}

const told = heard => `How you sounded: ${heard.map(({ number, heard }) =>
  `turn ${number + 1} ${heard.emotion} ${percent(heard.scores[heard.emotion] ?? 0)}`).join(", ")}`;
