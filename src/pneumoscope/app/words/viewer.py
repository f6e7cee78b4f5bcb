"""Around the radiograph on `Try it`."""

from pneumoscope.app.language import Text

VIEWER = {
    "pictures": Text("The radiograph and its saliency map", "Le cliché et sa carte de saillance"),
    "original": Text("Radiograph", "Cliché"),
    "overlay": Text("Saliency map over the radiograph", "Carte de saillance sur le cliché"),
    "map": Text(
        "Where the evidence for {label} lies: black and violet little, yellow much",
        "Où se trouvent les indices pour {label} : noir et violet peu, jaune beaucoup",
    ),
    "label": Text("Evidence for", "Indices pour"),
    "opacity": Text("Opacity of the map", "Opacité de la carte"),
    "level": Text("Window level", "Niveau de la fenêtre"),
    "window": Text("Window width", "Largeur de la fenêtre"),
    "zoom": Text("Zoom", "Agrandissement"),
    "reset": Text("Reset the view", "Rétablir la vue"),
    "keys": Text(
        "Plus and minus zoom, arrow keys move", "Plus et moins agrandissent, les flèches déplacent"
    ),
}
"""By the name that `static/viewer.js` has for it."""
