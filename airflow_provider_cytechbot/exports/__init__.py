"""What exports are made of: file formats, compression, and files that appear whole or not at all."""
