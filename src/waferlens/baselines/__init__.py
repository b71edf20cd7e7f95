"""What the VAE has to beat: PCA reconstruction, and texture features with a one-class SVM."""
