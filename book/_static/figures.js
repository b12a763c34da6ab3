// Figures take the colours of the page's mode, the layout of its width, and their size when they come into sight.
(() => {
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  const phone = window.matchMedia("(max-width: 500px)");

  const figures = () => document.querySelectorAll(".plotly-graph-div");

  const paint = (figure) => {
    if (!figure.layout) return;
    const text = colour("--pst-color-text-base");
    const line = colour("--pst-color-border");
    const change = {
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      "font.color": text,
      "hoverlabel.bgcolor": colour("--pst-color-surface"),
      "hoverlabel.font.color": text,
      "legend.bgcolor": "rgba(0,0,0,0)",
    };
    for (const axis of Object.keys(figure._fullLayout || {}).filter((key) => /^[xy]axis\d*$/.test(key))) {
      change[`${axis}.gridcolor`] = line;
      change[`${axis}.linecolor`] = line;
      change[`${axis}.zerolinecolor`] = line;
    }
    Object.assign(change, figure.layout.meta?.[phone.matches ? "phone" : "wide"]);
    if (change.height) figure.parentElement.style.height = `${change.height}px`;
    window.Plotly.relayout(figure, change);
  };

  document.addEventListener("DOMContentLoaded", () => {
    if (!window.Plotly) return;
    figures().forEach(paint);
    new MutationObserver(() => figures().forEach(paint)).observe(document.documentElement, {
      attributeFilter: ["data-theme"],
    });
    phone.addEventListener("change", () => figures().forEach(paint));
    // A figure inside a folded box was drawn without a size.
    document.addEventListener(
      "toggle",
      (event) => {
        event.target.querySelectorAll?.(".plotly-graph-div").forEach((figure) => window.Plotly.Plots.resize(figure));
      },
      true,
    );
    document.querySelectorAll(".sd-tab-set > input").forEach((tab) =>
      tab.addEventListener("change", () => figures().forEach((figure) => window.Plotly.Plots.resize(figure))),
    );
  });
})();
