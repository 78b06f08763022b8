// The emotions that may be heard: their order on the chart, bright to dark, and how each reads after "you sound".

export const EMOTIONS = ["happy", "surprise", "neutral", "sad", "fear", "disgust", "anger", "other"];

const ADJECTIVES = { surprise: "surprised", fear: "afraid", disgust: "disgusted", anger: "angry", other: "unclear" };

export const adjective = emotion => ADJECTIVES[emotion] ?? emotion;

export const colour = emotion => EMOTIONS.includes(emotion) ? `var(--${emotion})` : "var(--other)";

export const percent = share => `${Math.round(100 * share)}\u202f%`;

// The likeliest first, without those that are next to nothing.
export const ranked = scores => Object.entries(scores).sort((a, b) => b[1] - a[1]).filter(([, share]) => share >= 0.05);
