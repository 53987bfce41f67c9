"""Pages set by Typst, with Noto's fonts for every script."""
